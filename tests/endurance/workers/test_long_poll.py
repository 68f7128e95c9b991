"""A long poll is waited for to its end: what it brings late is in nobody's hands if it is given up."""

from __future__ import annotations

import time

from tests.kit.events import events
from tests.kit.proxy import Call, FaultProxy
from tests.kit.vault import Vault

LATE_S = 7
"""Longer than a drain's long poll, and shorter than that of `--follow`."""


def test_an_answer_that_comes_late_in_a_long_poll_is_taken(quick: Vault) -> None:
    """A receive with `--follow` may take 20 seconds; its messages are stored at once, not a visibility later."""

    def late(call: Call) -> bool:
        if call.operation == "ReceiveMessage":
            time.sleep(LATE_S)
        return True

    quick.overrides["VAULT_ETL_FOLLOW_WAIT"] = "20"
    quick.send(events(5))
    with FaultProxy(quick.endpoint, late) as sqs:
        extra = {"AWS_ENDPOINT_URL_SQS": sqs.url}
        summary = quick.ok(
            "ingest", "ingest", "--follow", "--max-messages", "5", extra=extra, seconds=30
        ).json
    assert (summary["received"], summary["stored"], summary["deleted"]) == (5, 5, 5)
    assert sqs.operations().count("ReceiveMessage") == 1
