"""`status`: one screen of how the work goes, for any role; what one role may not see, the others do."""

from __future__ import annotations

import re
from typing import Any

from tests.cli.doctor import NOWHERE
from tests.cli.processes import on_terminal
from tests.vault import Vault, emulator_session

SECTIONS = [
    *("queue", "dead_letters", "postgres", "records", "workers", "quarantine"),
    *("data_key_age", "token_key_age", "rotation", "audit_log", "partitions"),
]


def sections(vault: Vault, role: str, **options: Any) -> tuple[int, dict[str, dict[str, Any]]]:  # noqa: ANN401 - as `run`
    """The exit code, and each section by its name."""
    done = vault.run(role, "status", **options)
    return done.code, {line["section"]: line for line in done.lines}


def test_each_role_sees_what_it_may(loaded: Vault) -> None:
    """Together ingest, re-encrypt and audit see every section; what one may not see is no fault of anything."""
    seen: dict[str, str] = {}
    for role in ("ingest", "re-encrypt", "audit", "analyst"):
        code, found = sections(loaded, role)
        assert list(found) == SECTIONS
        assert (code == 0) == all(line["ok"] is not False for line in found.values())
        for name, line in found.items():
            if line["ok"] is None:
                assert "not visible to this role" in line["detail"]
            else:
                seen.setdefault(name, line["detail"])
    assert set(seen) == set(SECTIONS)
    assert re.fullmatch(r"\d+ visible, \d+ in flight, \d+ delayed", seen["queue"])
    assert "the newest was sent 20" in seen["records"]
    assert seen["quarantine"].startswith("today (yesterday): ")
    assert seen["rotation"] == "none under way"


def test_what_needs_a_person_is_exit_78(loaded: Vault) -> None:
    """A dead letter, and keys that are due: each line says what to do, and the table shows all of it."""
    overdue: dict[str, str | None] = {"VAULT_ETL_DATA_KEY_MAX_AGE_DAYS": "1"}
    dead = loaded.provisioned.dead_letter_url
    loaded.emulator.client("sqs").send_message(QueueUrl=dead, MessageBody="{}")
    try:
        code, found = sections(loaded, "ingest", extra=overdue)
        assert (code, found["dead_letters"]["ok"]) == (78, False)
        assert "ingest --dead-letters" in found["dead_letters"]["hint"]
        shown = on_terminal(loaded, "ingest", "status")
        assert (shown.code, " waiting" in shown.stdout) == (78, True)
        assert "needs a person: dead_letters" in shown.stdout
        assert all(name in shown.stdout for name in SECTIONS)
    finally:
        own = emulator_session(loaded.endpoint, loaded.provisioned.credentials["ingest"])
        sqs = own.client("sqs")
        for message in sqs.receive_message(QueueUrl=dead).get("Messages", []):
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])


def test_a_part_that_is_away_says_so(loaded: Vault) -> None:
    """Without AWS the database's sections show, and without the database AWS's do."""
    code, found = sections(loaded, "ingest", extra={"AWS_ENDPOINT_URL": NOWHERE})
    assert (code, found["queue"]["ok"], found["records"]["ok"]) == (78, False, True)
    away: dict[str, str | None] = {"VAULT_ETL_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"}
    code, found = sections(loaded, "ingest", extra=away)
    assert (code, found["queue"]["ok"], found["postgres"]["ok"]) == (78, True, False)
    assert found["records"]["detail"] == "needs postgres"


def test_what_is_refused_is_no_matter_of_the_role(loaded: Vault) -> None:
    """A wrong password, or a queue that refuses a login of the role ingest, is a fault, and a probe sees it."""
    good = loaded.environment("ingest")
    wrong = re.sub(r"(//[^:]+):[^@]+@", r"\1:wrong@", good["VAULT_ETL_DATABASE_URL"])
    code, found = sections(loaded, "ingest", extra={"VAULT_ETL_DATABASE_URL": wrong})
    assert (code, found["postgres"]["ok"]) == (78, False)
    assert found["records"]["detail"] == "needs postgres"
    assert "refuses this login" in found["postgres"]["detail"]
    other: dict[str, str | None] = {"VAULT_ETL_QUEUE_URL": good["VAULT_ETL_QUEUE_URL"] + "-other"}
    code, found = sections(loaded, "ingest", extra=other)
    assert (code, found["queue"]["ok"], found["dead_letters"]["ok"]) == (78, False, False)
