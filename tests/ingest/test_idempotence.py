"""An ingest that is killed anywhere loses no message and stores no message twice."""

from __future__ import annotations

import pytest

from tests.kit.killed import VISIBILITY_SECONDS, run_killed
from tests.kit.vault import Vault, sample_events
from tests.kit.waiting import until


@pytest.fixture
def seeded(quick: Vault) -> Vault:
    """The 100 samples on a queue whose messages come back soon."""
    quick.emulator.client("sqs").set_queue_attributes(
        QueueUrl=quick.provisioned.queue_url,
        Attributes={"VisibilityTimeout": str(VISIBILITY_SECONDS)},
    )
    quick.send(sample_events())
    return quick


def test_an_ingest_killed_after_the_commit_stores_nothing_twice(seeded: Vault) -> None:
    """SIGKILL comes between COMMIT and the first deletion: the next run finds every message stored, and deletes it."""
    result = run_killed(seeded, "AWS_ENDPOINT_URL_SQS", "DeleteMessageBatch")
    assert result.stdout == ""
    assert (seeded.count("user_logins"), seeded.count("quarantine")) == (99, 1)
    assert seeded.depth() == (0, 100, 0)
    until(lambda: seeded.depth()[0] == 100)
    summary = seeded.ok("ingest", "ingest").json
    assert {name: summary[name] for name in list(summary)[:7]} == {
        "received": 100,
        "stored": 0,
        "duplicates": 99,
        "quarantined": 0,
        "already_quarantined": 1,
        "given_back": 0,
        "deleted": 100,
    }
    assert (seeded.count("user_logins"), seeded.count("quarantine")) == (99, 1)
    assert seeded.depth() == (0, 0, 0)


def test_an_ingest_killed_before_the_commit_loses_nothing(seeded: Vault) -> None:
    """SIGKILL comes after the receive, before the first write: the next run stores every message."""
    run_killed(seeded, "AWS_ENDPOINT_URL_KMS", "GenerateDataKey")
    assert (seeded.count("user_logins"), seeded.count("quarantine")) == (0, 0)
    until(lambda: seeded.depth()[0] == 100)
    summary = seeded.ok("ingest", "ingest").json
    assert (summary["stored"], summary["quarantined"], summary["deleted"]) == (99, 1, 100)
    assert (seeded.count("user_logins"), seeded.count("quarantine")) == (99, 1)
