"""`status`: one screen of how the work goes, for any role; what one role may not see, the others do."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from typing import Any

import pytest

from tests.kit.doctor import NOWHERE
from tests.kit.events import events
from tests.kit.processes import on_terminal
from tests.kit.sessions import connect
from tests.kit.vault import Vault, emulator_session

SECTIONS = [
    *("queue", "dead_letters", "postgres", "commits", "lag", "workers", "quarantine"),
    *("data_key_age", "token_key_age", "rotation", "audit_log", "partitions"),
]
MEMBERS = {
    "queue": {"visible", "in_flight", "delayed"},
    "dead_letters": {"waiting"},
    "commits": {"last_commit", "messages_per_second", "since", "messages"},
    "lag": {"seconds", "newest_sent"},
    "workers": {"logins"},
    "quarantine": {"today", "yesterday"},
    "data_key_age": {"age_seconds", "limit_days", "due"},
    "token_key_age": {"age_seconds", "limit_days", "due"},
    "rotation": {"under_way"},
    "audit_log": {"unsigned_entries", "oldest_unsigned_seconds"},
    "partitions": {"missing_months"},
}


def sections(vault: Vault, role: str, **options: Any) -> tuple[int, dict[str, dict[str, Any]]]:  # noqa: ANN401 - as `run`
    """The exit code, and each section by its name."""
    done = vault.run(role, "status", **options)
    return done.code, {line["section"]: line for line in done.lines}


def test_one_role_sees_every_section(loaded: Vault) -> None:
    """The role audit, which reads no record: numbers and times are members, and a screen has room for all of it."""
    code, found = sections(loaded, "audit")
    assert code == 0
    assert [name for name, line in found.items() if line["ok"]] == SECTIONS
    for name, members in MEMBERS.items():
        assert members <= found[name].keys(), name
    commits, lag = found["commits"], found["lag"]
    last = dt.datetime.fromisoformat(commits["last_commit"])
    assert dt.timedelta() <= dt.datetime.now(dt.UTC) - last < dt.timedelta(minutes=10)
    window = (dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(commits["since"])).total_seconds()
    assert commits["messages_per_second"] == pytest.approx(commits["messages"] / window, rel=0.2)
    assert dt.datetime.fromisoformat(lag["newest_sent"]) <= last
    assert sum(found["quarantine"]["today"].values()) == loaded.count("quarantine")
    assert (found["rotation"]["under_way"], found["partitions"]["missing_months"]) == ([], [])
    shown = on_terminal(loaded, "audit", "status", columns=80)
    assert (shown.code, len(shown.stdout.splitlines()) <= 24) == (0, True), shown.stdout
    assert re.search(
        r"^commits +yes +last 20\S+Z \(\d+ \w+ ago\), [\d,.]+/s over 5 min",
        shown.stdout,
        re.MULTILINE,
    )


@pytest.mark.parametrize("sent", ["20000-01-01", "0044-03-15 BC", "-infinity", "infinity"])
def test_a_time_of_a_changed_worker_stops_no_status(loaded: Vault, sent: str) -> None:
    """A time outside of record ids is stored as unknown; a valid time is kept to the second."""
    loaded.sql("SELECT vault_etl.ingest_committed(1, %s::timestamptz)", sent, role="ingest")
    code, found = sections(loaded, "audit")
    assert (code, found["lag"]["newest_sent"]) == (0, None)
    loaded.sql("SELECT vault_etl.ingest_committed(1, now())", role="ingest")
    _, found = sections(loaded, "audit")
    assert dt.datetime.fromisoformat(found["lag"]["newest_sent"]).microsecond == 0


def test_a_worker_is_counted_and_its_session_is_seen(quick: Vault) -> None:
    """Every role sees the commit at once, and the active session of the worker's login."""
    _, before = sections(quick, "analyst")
    quick.send(events(3))
    with contextlib.closing(connect(quick.database_url("ingest"))):
        quick.ok("ingest", "ingest")
        _, after = sections(quick, "analyst")
    assert after["commits"]["messages"] == before["commits"].get("messages", 0) + 3
    (login,) = after["workers"]["logins"]
    assert (login["login"], login["sessions"]) == ("test_ingest", 1)
    active = dt.datetime.fromisoformat(login["last_active"])
    assert abs(dt.datetime.now(dt.UTC) - active) < dt.timedelta(minutes=5)


def test_a_count_that_no_commit_has_is_not_believed(quick: Vault) -> None:
    """A login of the role ingest may write any, and others read it."""
    _, before = sections(quick, "audit")
    quick.sql(
        "SELECT ingest_committed(-5, now()), ingest_committed(2147483647, now())", role="ingest"
    )
    _, after = sections(quick, "audit")
    assert after["commits"]["messages"] == before["commits"].get("messages", 0) + 100_000


def test_a_section_that_is_not_visible_names_the_role_that_sees_it(loaded: Vault) -> None:
    """A section that a role may not see is no fault; most roles see how the loading proceeds."""
    for role in ("ingest", "re-encrypt", "analyst", "erase"):
        code, found = sections(loaded, role)
        assert list(found) == SECTIONS
        assert (code == 0) == all(line["ok"] is not False for line in found.values())
        for name, line in found.items():
            if line["ok"] is None:
                to = "vault-etl-audit" if name in {"queue", "dead_letters"} else "vault_etl_audit"
                assert line["detail"] == f"not visible to this role; {to} sees it"
        seen = () if role == "erase" else ("commits", "lag")
        assert all(found[name]["ok"] for name in (*seen, "workers", "partitions"))


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
        assert "waiting: remove the cause, then" in shown.stdout
        assert all(name in shown.stdout for name in SECTIONS)
    finally:
        own = emulator_session(loaded.endpoint, loaded.provisioned.credentials["ingest"])
        sqs = own.client("sqs")
        for message in sqs.receive_message(QueueUrl=dead).get("Messages", []):
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])


def test_an_outage_is_reported_in_its_sections_only(loaded: Vault) -> None:
    """Without AWS the database's sections show, and without the database those of AWS."""
    code, found = sections(loaded, "ingest", extra={"AWS_ENDPOINT_URL": NOWHERE})
    assert (code, found["queue"]["ok"], found["commits"]["ok"]) == (78, False, True)
    away: dict[str, str | None] = {"VAULT_ETL_DATABASE_URL": "postgresql://a:b@127.0.0.1:1/x"}
    code, found = sections(loaded, "ingest", extra=away)
    assert (code, found["queue"]["ok"], found["postgres"]["ok"]) == (78, True, False)
    assert found["commits"]["detail"] == "needs postgres"


def test_what_is_refused_is_no_matter_of_the_role(loaded: Vault) -> None:
    """A wrong password, or a queue that refuses a login of the role ingest, is a fault, and a probe sees it."""
    good = loaded.environment("ingest")
    wrong = re.sub(r"(//[^:]+):[^@]+@", r"\1:wrong@", good["VAULT_ETL_DATABASE_URL"])
    code, found = sections(loaded, "ingest", extra={"VAULT_ETL_DATABASE_URL": wrong})
    assert (code, found["postgres"]["ok"]) == (78, False)
    assert found["commits"]["detail"] == "needs postgres"
    assert "refuses this login" in found["postgres"]["detail"]
    other: dict[str, str | None] = {"VAULT_ETL_QUEUE_URL": good["VAULT_ETL_QUEUE_URL"] + "-other"}
    code, found = sections(loaded, "ingest", extra=other)
    assert (code, found["queue"]["ok"], found["dead_letters"]["ok"]) == (78, False, False)
