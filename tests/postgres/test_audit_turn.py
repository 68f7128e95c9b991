"""Who holds the end of the log, or floods it: by the login that could, and what it costs the others."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.postgres.entries import append, append_committed
from tests.postgres.scratch import Scratch
from vault_etl.adapters.postgres import RATE_LIMITED
from vault_etl.adapters.postgres_audit import PostgresAuditLog
from vault_etl.adapters.postgres_doctor import PostgresFacts
from vault_etl.core.audit import Action, AuditRequest
from vault_etl.errors import RateLimitedError
from vault_etl.services.checks import audit as checks

TURN = "public.audit_turn"
WAITING = """
SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)
WHERE NOT l.granted AND a.datname = current_database()
"""
ENDING = "pg_signal_backend, pg_read_all_stats"
ROTATE = {"action": "keys rotate"}


@pytest.fixture
def patient(scratch: Scratch) -> Scratch:
    """A database where an entry waits for three seconds and not for ten."""
    signature = scratch.value(
        "SELECT oid::regprocedure::text FROM pg_proc WHERE proname = 'audit_append'"
    )
    scratch.sql(f"ALTER FUNCTION {signature} SET lock_timeout = '3s'")
    return scratch


@contextmanager
def holding(database: Scratch, role: str, *before: str) -> Iterator[connection]:
    """A session that has appended, and does not commit."""
    with database.connect(role) as opened, opened.cursor() as cursor:
        for statement in before:
            cursor.execute(statement)
        append(cursor, **(ROTATE if role == "rotate" else {}))
        yield opened


def until(condition: Callable[[], object], seconds: float = 20) -> None:
    """Wait for something that must come."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.005)


@pytest.mark.parametrize(
    "before",
    [
        (),
        ("SAVEPOINT a", "SELECT pg_current_xact_id()", "SAVEPOINT b"),
        (
            "SET statement_timeout = 0; SET lock_timeout = 0; SET idle_in_transaction_session_timeout = 0",
        ),
    ],
    ids=["idle", "savepoint", "timeouts"],
)
def test_a_session_that_holds_the_turn_is_ended(patient: Scratch, before: tuple[str, ...]) -> None:
    """Whatever its settings and savepoints: who waits gets the turn, and the holder has lost its session."""
    with holding(patient, "rotate", *before) as held, held.cursor() as cursor:
        if "SAVEPOINT b" in before:
            cursor.execute("RELEASE SAVEPOINT b; RELEASE SAVEPOINT a")
        assert append_committed(patient) == 1
        with pytest.raises(psycopg2.OperationalError):
            cursor.execute("COMMIT")
    assert patient.sql("SELECT login FROM audit_log") == [("test_reveal",)]


def test_a_holder_that_waits_for_a_lock_is_ended_too(patient: Scratch) -> None:
    """A lock that its accomplice never gives up is no excuse."""
    with (
        patient.connect("rotate") as accomplice,
        accomplice.cursor() as other,
        holding(patient, "rotate") as held,
        ThreadPoolExecutor(1) as pool,
    ):
        other.execute("SELECT pg_advisory_lock(4711)")
        accomplice.commit()
        stuck = pool.submit(held.cursor().execute, "SELECT pg_advisory_lock(4711)")
        until(lambda: patient.value(WAITING))
        append_committed(patient)
        with pytest.raises(psycopg2.OperationalError):
            stuck.result()


def test_a_login_has_one_place_in_the_queue(scratch: Scratch) -> None:
    """Three sessions of rotate wait longer than reveal does, and one of them at most comes before it."""
    append_committed(scratch, "rotate", **ROTATE)
    with holding(scratch, "rotate") as held, ThreadPoolExecutor(4) as pool:
        first = [pool.submit(append_committed, scratch, "rotate", **ROTATE) for _ in range(3)]
        until(lambda: scratch.value(WAITING) == 3)
        mine = pool.submit(append_committed, scratch)
        until(lambda: scratch.value(WAITING) == 4)
        held.commit()
        seqs = [future.result() for future in first]
        assert mine.result() < sorted(seqs)[1]


@pytest.mark.parametrize("ended", [True, False])
def test_a_holder_that_nobody_may_end(patient: Scratch, *, ended: bool) -> None:
    """A superuser, or any, if the owner may end no session: the entry fails, and the holder goes on."""
    if not ended:
        patient.sql(f"REVOKE {ENDING} FROM vault_etl_owner")
    try:
        with holding(patient, "admin" if ended else "rotate") as held:
            with pytest.raises(psycopg2.errors.LockNotAvailable):
                append_committed(patient)
            held.commit()
        with patient.database("audit") as database:
            assert checks.turn(PostgresFacts(database)).ok is ended
    finally:
        patient.sql(f"GRANT {ENDING} TO vault_etl_owner WITH INHERIT TRUE")


def test_doctor_names_who_holds_the_turn(scratch: Scratch) -> None:
    """The login, the process and since when; and it is well when it is free, or held for a moment."""
    with scratch.database("audit") as database:
        facts = PostgresFacts(database)
        assert checks.turn(facts).ok
        with holding(scratch, "rotate") as held:
            until(lambda: not checks.turn(facts).ok)
            found = checks.turn(facts).detail
            assert "test_rotate" in found
            assert str(held.info.backend_pid) in found
            held.rollback()
        assert checks.turn(facts).ok


def flood(database: Scratch, role: str, times: int, **changes: object) -> int:
    """Append intents as fast as it goes, each committed; how many are taken before one is refused."""
    with database.connect(role) as opened, opened.cursor() as cursor:
        for number in range(times):
            try:
                append(cursor, **changes)
            except psycopg2.Error as error:
                if error.pgcode != RATE_LIMITED:
                    raise
                return number
            opened.commit()
    return times


@pytest.mark.parametrize(
    "changes",
    [{"decision": "denied"}, {"action": "keys rewrap"}, {"action": "erase"}],
    ids=["its own denials", "another role's action", "nobody's action"],
)
def test_a_flood_of_denials_is_stopped(scratch: Scratch, changes: dict[str, object]) -> None:
    """A minute's worth of 120, and then two a second; nobody else is held up."""
    taken = flood(scratch, "reveal", 1000, **changes)
    assert 120 <= taken < 240
    assert scratch.value("SELECT count(*) FROM audit_log") == taken
    append_committed(scratch, "rotate", **ROTATE)


def test_a_flood_of_one_transaction_is_stopped(scratch: Scratch) -> None:
    """One statement with 3,000 entries writes none."""
    with pytest.raises(psycopg2.Error) as raised:
        scratch.sql(
            "SELECT public.audit_append(gen_random_uuid(), 'intent', 'a', 'h', 'reveal', NULL, '{}', NULL,"
            " NULL, repeat('r', 500), 'denied', 'x') FROM generate_series(1, 3000)",
            role="reveal",
        )
    assert raised.value.pgcode == RATE_LIMITED
    assert scratch.value("SELECT count(*) FROM audit_log") == 0


def test_a_flood_of_checkpoints_is_stopped(scratch: Scratch) -> None:
    """Each is of a head that is there, and has the form of a signature: as many as there can be outcomes."""
    with pytest.raises(psycopg2.Error) as raised:
        scratch.sql(
            "SELECT public.audit_checkpoint(0, h, '4byt', '\\x3006000000000000')"
            " FROM generate_series(1, 20000), (SELECT sha256('vault-etl/1/audit-genesis'::bytea"
            " || uuid_send(v.vault_id)) AS h FROM public.audit_signer() AS v) AS genesis",
            role="erase",
        )
    assert raised.value.pgcode == RATE_LIMITED
    assert scratch.value("SELECT count(*) FROM audit_checkpoints") == 0


def test_looks_are_limited_by_the_quota_alone(scratch: Scratch) -> None:
    """What an hour's quota allows may be used up at once; then each denial counts."""
    scratch.sql(
        "SELECT public.reveal_policy_set(gen_random_uuid(), 'a', 'h', 's',"
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
    """Its intent has paid for it."""
    request = {"request_id": uuid.uuid4(), **ROTATE}
    append_committed(scratch, "rotate", **request)
    flood(scratch, "rotate", 1000, decision="denied", **ROTATE)
    append_committed(scratch, "rotate", **request, phase="outcome", decision="done")


def test_the_command_says_how_long_to_wait(scratch: Scratch) -> None:
    """Exit 75 and seconds, and a minute later it goes on; a clock that went back is no longer wait."""
    request = AuditRequest(
        request_id=uuid.uuid4(), action=Action.KEYS_ROTATE, actor="a", host="h", reason="r"
    )
    scratch.sql("INSERT INTO public.audit_rates VALUES ('test_rotate', 'entry', 'infinity')")
    with scratch.database("rotate") as database:
        log = PostgresAuditLog(database)
        with pytest.raises(RateLimitedError) as raised:
            log.intend(request)
        assert (raised.value.exit_code, raised.value.hint) == (75, "run it again in 1 s")
        scratch.sql("UPDATE public.audit_rates SET paid_until = now() - interval '1 s'")
        log.intend(request)
