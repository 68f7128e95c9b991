"""Floods of the log, by the logins that can make them; and `doctor` names the session that holds the log's end."""

from __future__ import annotations

import uuid

import psycopg2
import pytest

from tests.kit.entries import append, append_committed, append_open
from tests.kit.scratch import Scratch
from tests.kit.waiting import until
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.errors import RateLimitedError
from vault_etl.doctor import audit as checks
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.platform.postgres_statement_errors import RATE_LIMITED

ROTATE = {"action": "keys rotate"}


def test_doctor_names_the_holder_of_the_turn(scratch: Scratch) -> None:
    """The check names login, process and time; it is well when the turn is free, or held for a moment."""
    with scratch.database("audit") as database:
        facts = PostgresFacts(database)
        assert checks.turn(facts.turn()).ok
        with scratch.connect() as held, held.cursor() as cursor:
            append_open(cursor)
            until(lambda: not checks.turn(facts.turn()).ok)
            found = checks.turn(facts.turn()).detail
            assert "admin" in found
            assert str(held.info.backend_pid) in found
            held.rollback()
        assert checks.turn(facts.turn()).ok


def test_doctor_says_that_it_cannot_see_the_holder(scratch: Scratch) -> None:
    """If no superuser migrates, the owner may not see since when a session holds the turn."""
    scratch.sql("REVOKE pg_read_all_stats FROM vault_etl_owner")
    try:
        with scratch.database("audit") as database:
            assert not checks.turn(PostgresFacts(database).turn()).ok
    finally:
        scratch.sql("GRANT pg_read_all_stats TO vault_etl_owner WITH INHERIT TRUE")


def flood(database: Scratch, role: str, times: int, **changes: object) -> int:
    """Append intents as fast as possible, each committed; return how many are taken before one is refused."""
    with database.connect(role) as opened, opened.cursor() as cursor:
        for number in range(times):
            try:
                append(cursor, **changes)
            except psycopg2.Error as error:
                if error.pgcode != RATE_LIMITED:
                    raise
                return number
    return times


@pytest.mark.parametrize(
    "changes",
    [{"decision": "denied"}, {"action": "keys rewrap"}, {"action": "erase"}],
    ids=["its own denials", "another role's action", "nobody's action"],
)
def test_a_flood_of_denials_is_stopped(scratch: Scratch, changes: dict[str, object]) -> None:
    """The rate is 120 for a minute, and then two a second; no other login is held up."""
    taken = flood(scratch, "reveal", 1000, **changes)
    assert 120 <= taken < 240
    assert scratch.value("SELECT count(*) FROM audit_log") == taken
    append_committed(scratch, "rotate", **ROTATE)


def test_long_entries_cost_more(scratch: Scratch) -> None:
    """Entries of twelve times the bytes are a twelfth as many: a minute's worth is counted in KiB."""
    short = flood(scratch, "rotate", 1000, **ROTATE)
    long = flood(
        scratch, "re-encrypt", 1000, **ROTATE, actor="\U0001f600" * 2048, reason="\u20ac" * 500
    )
    assert short >= 60
    assert long < short / 5
    assert long >= 3


def test_a_flood_of_checkpoints_is_stopped(scratch: Scratch) -> None:
    """Checkpoints of an existing head, in the form of a signature, are as many as outcomes can be."""
    with pytest.raises(psycopg2.Error) as raised:
        scratch.sql(
            "SELECT vault_etl.audit_checkpoint(0, h, '4byt', '\\x3006000000000000')"
            " FROM generate_series(1, 20000), (SELECT sha256('vault-etl/1/audit-genesis'::bytea"
            " || uuid_send(v.vault_id)) AS h FROM vault_etl.audit_signer() AS v) AS genesis",
            role="erase",
        )
    assert raised.value.pgcode == RATE_LIMITED
    assert scratch.value("SELECT count(*) FROM audit_checkpoints") == 0


def test_looks_are_limited_by_the_quota_alone(scratch: Scratch) -> None:
    """The quota of an hour may be used up at once; after that, each denial counts."""
    scratch.sql(
        "SELECT vault_etl.reveal_policy_set(gen_random_uuid(), 'a', 'h', 's',"
        """ '{"reveals_an_hour": 200, "purposes": {}}')"""
    )
    taken = flood(scratch, "reveal", 1000)
    allowed = "SELECT count(*) FROM audit_log WHERE action = 'reveal' AND decision = 'allowed'"
    assert scratch.value(allowed) == 200
    assert taken < 400


def test_bulk_work_has_its_own_rate(scratch: Scratch) -> None:
    """Keys are rewrapped by the thousand, each with an intent and an outcome."""
    assert flood(scratch, "rotate", 300, action="keys rewrap") == 300
    assert flood(scratch, "rotate", 10_000, decision="denied", action="keys rotate") < 240


def test_an_outcome_is_never_refused_for_its_rate(scratch: Scratch) -> None:
    """The intent has already counted for its outcome."""
    request = {"request_id": uuid.uuid4(), **ROTATE}
    append_committed(scratch, "rotate", **request)
    flood(scratch, "rotate", 1000, decision="denied", **ROTATE)
    append_committed(scratch, "rotate", **request, phase="outcome", decision="done")


def test_the_command_says_how_long_to_wait(scratch: Scratch) -> None:
    """Exit 75 and seconds; the command works a minute later, and a clock that went back does not lengthen the wait."""
    request = AuditRequest(
        request_id=uuid.uuid4(), action=Action.KEYS_ROTATE, actor="a", host="h", reason="r"
    )
    scratch.sql("INSERT INTO vault_etl.audit_rates VALUES ('test_rotate', 'entry', 'infinity')")
    with scratch.database("rotate") as database:
        log = PostgresAuditLog(database)
        with pytest.raises(RateLimitedError) as raised:
            log.intend(request)
        assert (raised.value.exit_code, raised.value.hint) == (75, "run it again in 1 s")
        scratch.sql("UPDATE vault_etl.audit_rates SET paid_until = now() - interval '1 s'")
        log.intend(request)
