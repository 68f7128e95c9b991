"""No client holds a lock that others wait for: attacks by the logins that may write the log, beside an honest entry."""

from __future__ import annotations

import io
import itertools
import os
import socket
import struct
import threading
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.kit.entries import append, append_committed
from tests.kit.rights import COMMITS
from tests.kit.scratch import Scratch
from tests.kit.waiting import until
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.ingest.sources.postgres import PostgresFileSources

Denied = psycopg2.errors.InsufficientPrivilege
ARGUMENTS = "gen_random_uuid(), 'intent', 'a', 'h', 'keys rotate', NULL, '{}', NULL, NULL, 'r', 'allowed', NULL"
ENTRY = f"vault_etl.audit_append({ARGUMENTS})"
CALL = f"CALL vault_etl.commit_audit_append({ARGUMENTS}{', NULL' * 7})"
VARIABLES = "a bigint; b bytea; c text; d text; e text; f timestamptz"

HELD = {
    "idle": f"BEGIN; SELECT {ENTRY}",
    "savepoint": f"BEGIN; SAVEPOINT a; SELECT {ENTRY}; RELEASE SAVEPOINT a",
    "one statement": f"SELECT {ENTRY}, pg_sleep(60)",
    # random(): the planner must not do the work before the statement runs.
    "long work": f"SELECT {ENTRY}, sha256(convert_to(repeat('x', 1000000000 + (random() * 0)::integer), 'UTF8'))",
    "log records": f"BEGIN; SELECT {ENTRY}; SELECT pg_logical_emit_message(false, 'x', 'y')",
    "cursor": f"BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT {ENTRY}; FETCH c",
    "block": f"DO $$ BEGIN COMMIT; PERFORM {ENTRY}; PERFORM pg_sleep(60); END $$",
    "block, named like ours": (
        f"DO $$ BEGIN COMMIT; EXECUTE 'SELECT {ENTRY.replace(chr(39), chr(39) * 2)}"
        " /* PL/pgSQL function commit_audit_append(uuid) line 1 at SQL statement */'; END $$"
    ),
    "called in a block": (
        f"DO $$ DECLARE {VARIABLES}; BEGIN"
        f" CALL vault_etl.commit_audit_append({ARGUMENTS}, NULL, a, b, c, d, e, f); PERFORM pg_sleep(60); END $$"
    ),
}
IN_TRANSACTION = {
    "called in a transaction": f"BEGIN; {CALL}",
    "called behind another statement": f"SELECT 1; {CALL}; SELECT pg_sleep(60)",
    "called before another statement": f"{CALL}; SELECT pg_sleep(60)",
}
# A schema of its own, and names that could pass for ours: for re-encrypt, which makes temporary tables.
FORGED = {
    "its own procedure": (
        (
            "CREATE PROCEDURE pg_temp.commit_audit_append(x uuid) LANGUAGE plpgsql AS"
            f" $$ BEGIN COMMIT; PERFORM {ENTRY}; PERFORM pg_sleep(60); END $$;"
        ),
        "CALL pg_temp.commit_audit_append(NULL)",
    ),
    "a name with a line of its own": (
        (
            'CREATE PROCEDURE pg_temp."\ncommit_audit_append("(x uuid) LANGUAGE plpgsql AS'
            f" $$ BEGIN COMMIT; PERFORM {ENTRY}; PERFORM pg_sleep(60); END $$;"
        ),
        'CALL pg_temp."\ncommit_audit_append("(NULL)',
    ),
    "a function of its own": (
        (
            "CREATE FUNCTION pg_temp.commit_audit_append(x uuid) RETURNS void LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM {ENTRY}; PERFORM pg_sleep(60); END $$;"
        ),
        "SET search_path = pg_temp, vault_etl; SELECT pg_temp.commit_audit_append(NULL)",
    ),
}


def request() -> AuditRequest:
    """An honest request, of the role rotate."""
    return AuditRequest(
        request_id=uuid.uuid4(), action=Action.KEYS_ROTATE, actor="a", host="h", reason="r"
    )


def honest(database: Scratch) -> int:
    """An entry of the real adapter, under rotate's login; its seq."""
    with database.database("rotate") as opened:
        return PostgresAuditLog(opened).intend(request()).seq


@contextmanager
def session(database: Scratch, role: str) -> Iterator[connection]:
    """A session that does not begin a transaction by itself."""
    with database.connect(role) as opened:
        opened.autocommit = True
        yield opened


@pytest.mark.parametrize("role", ["reveal", "re-encrypt"])
@pytest.mark.parametrize("statement", HELD.values(), ids=HELD)
def test_only_a_procedure_that_commits_writes(shared: Scratch, role: str, statement: str) -> None:
    """A transaction, a statement or a block of the client is refused before it holds a lock."""
    with session(shared, role) as attacker, attacker.cursor() as cursor:
        with pytest.raises(Denied):
            cursor.execute(statement)
        before = honest(shared)
    assert honest(shared) == before + 1


@pytest.mark.parametrize("statement", IN_TRANSACTION.values(), ids=IN_TRANSACTION)
def test_a_procedure_that_commits_is_no_part_of_a_transaction(
    shared: Scratch, statement: str
) -> None:
    """Such a procedure runs neither in an open transaction nor among statements that are sent together."""
    with session(shared, "re-encrypt") as attacker, attacker.cursor() as cursor:
        with pytest.raises(psycopg2.errors.InvalidTransactionTermination):
            cursor.execute(statement)
        honest(shared)


@pytest.mark.parametrize(("made", "called"), FORGED.values(), ids=FORGED)
def test_no_name_passes_for_a_procedure_of_ours(shared: Scratch, made: str, called: str) -> None:
    """A client's own procedure is in pg_temp, and the database says so in the context."""
    with session(shared, "re-encrypt") as attacker, attacker.cursor() as cursor:
        cursor.execute(made)
        with pytest.raises(Denied):
            cursor.execute(called)
        honest(shared)


def test_a_copy_does_not_pass_for_a_procedure_of_ours(shared: Scratch) -> None:
    """The context of COPY ends with the name of a table, which is the client's, and has no quotes."""
    with session(shared, "re-encrypt") as attacker, attacker.cursor() as cursor:
        cursor.execute('CREATE TEMP TABLE "commit_keys_init(" (x integer)')
        row = b"PGCOPY\n\xff\r\n\0" + struct.pack("!iihii", 0, 0, 1, 4, 1) + struct.pack("!h", -1)
        with pytest.raises(Denied):
            cursor.copy_expert(
                'COPY "commit_keys_init(" FROM STDIN (FORMAT binary)'
                " WHERE vault_etl.keys_init(gen_random_uuid(), 'a', 'h', '[]')",
                io.BytesIO(row),
            )
        honest(shared)


def test_functions_behind_a_procedure_refuse_other_callers(shared: Scratch) -> None:
    """Every role that may execute a function is refused; a block with a COMMIT is no help."""
    rows = shared.sql(
        "SELECT p.proname, p.oid::regproc || '(' || array_to_string(ARRAY("
        "  SELECT 'NULL::' || format_type(t, NULL) FROM unnest(p.proargtypes) AS t"
        "), ', ') || ')', a.grantee::regrole::text FROM pg_proc AS p, aclexplode(p.proacl) AS a"
        " WHERE p.pronamespace = 'vault_etl'::regnamespace AND p.proname = ANY (%s)"
        " AND a.grantee <> p.proowner",
        sorted(COMMITS),
    )
    assert {name for name, _, _ in rows} == COMMITS
    for _, called, role in rows:
        login = role.removeprefix("vault_etl_").replace("_", "-")
        for statement in (f"SELECT {called}", f"DO $$ BEGIN COMMIT; PERFORM {called}; END $$"):
            with pytest.raises(Denied, match="only a procedure of this vault may call this"):
                shared.sql(statement, role=login)


BEFORE = {
    # What the session sends while it has the turn. `audit_hash` is called then: it stands for whatever may fail.
    "an error": "RAISE EXCEPTION '%', repeat('x', 20000000)",
    "a warning": "RAISE WARNING '%', repeat('x', 20000000)",
    "what it must send": (
        "PERFORM set_config('client_min_messages', 'notice', true);"
        " RAISE NOTICE '%', repeat('x', 20000000)"
    ),
}


BUSY = (
    "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
    " AND (query NOT LIKE 'CALL%%' OR wait_event IS NULL OR wait_event NOT IN ('ClientRead', 'ClientWrite'))"
)


@pytest.mark.parametrize("sent", BEFORE.values(), ids=BEFORE)
def test_a_client_that_reads_nothing_holds_up_no_other(scratch: Scratch, sent: str) -> None:
    """A session that cannot send would keep its locks: it is sent nothing, or loses its connection."""
    scratch.sql(
        "ALTER FUNCTION vault_etl.audit_hash(vault_etl.audit_log) RENAME TO audit_hash_of_it;"
        "CREATE FUNCTION vault_etl.audit_hash(entry vault_etl.audit_log) RETURNS bytea LANGUAGE plpgsql AS $$"
        f" BEGIN IF entry.login = 'test_reveal' THEN {sent}; END IF;"
        " RETURN vault_etl.audit_hash_of_it(entry); END $$;"
        "GRANT EXECUTE ON FUNCTION vault_etl.audit_hash(vault_etl.audit_log) TO vault_etl_owner"
    )
    with session(scratch, "reveal") as attacker:
        with attacker.cursor() as cursor:
            cursor.execute("SET client_min_messages = debug5; SET tcp_user_timeout = 0")
        with socket.socket(fileno=os.dup(attacker.fileno())) as wire:
            query = CALL.replace("keys rotate", "reveal").encode() + b"\0"
            wire.sendall(b"Q" + struct.pack("!I", len(query) + 4) + query)
            until(lambda: scratch.value(BUSY, attacker.info.backend_pid) == 0)
            for _ in range(3):
                honest(scratch)


def test_the_settings_of_a_session_make_its_turn_no_longer(scratch: Scratch) -> None:
    """Without an index a plan reads the whole log while others wait; a turn has no wait for a standby either."""
    append_committed(scratch)
    scans = "SELECT seq_scan FROM pg_stat_user_tables WHERE relname = 'audit_log'"
    with session(scratch, "reveal") as attacker, attacker.cursor() as cursor:
        cursor.execute(
            "SET enable_indexscan = off; SET enable_bitmapscan = off; SET enable_indexonlyscan = off;"
            "SET random_page_cost = 1e300; SET cpu_index_tuple_cost = 1e300; SET seq_page_cost = 0;"
            "SET cpu_tuple_cost = 0; SET cpu_operator_cost = 0; SET synchronous_commit = remote_apply"
        )
        before = scratch.value(scans)
        request_id = uuid.uuid4()
        for _ in range(8):
            append(cursor, request_id=request_id)
            append(cursor, request_id=request_id, phase="outcome", decision="done")
            request_id = uuid.uuid4()
        cursor.execute("SELECT pg_stat_force_next_flush()")
        cursor.execute("SELECT 1")
    assert scratch.value(scans) == before


def test_an_honest_entry_gets_its_turn_among_those_that_roll_back(scratch: Scratch) -> None:
    """Two logins of six sessions each begin entries as fast as they can, and have most of them cancelled."""
    ended = threading.Event()
    tried = itertools.count()

    def attack(role: str, milliseconds: int) -> None:
        with session(scratch, role) as attacker, attacker.cursor() as cursor:
            cursor.execute(f"SET statement_timeout = {milliseconds}")
            while not ended.is_set():
                next(tried)
                with suppress(psycopg2.Error):
                    cursor.execute(CALL)

    with ExitStack() as stack:
        stack.callback(ended.set)
        threads = [
            threading.Thread(target=attack, args=(role, milliseconds))
            for role in ("reveal", "re-encrypt")
            for milliseconds in (1, 2, 4, 8, 50, 200)
        ]
        for thread in threads:
            thread.start()
            stack.callback(thread.join, 60)
        assert len([honest(scratch) for _ in range(10)]) == 10
        ended.set()
    assert next(tried) > len(threads)
    assert scratch.value("SELECT count(*) = max(seq) FROM audit_log")


def test_an_idle_session_stops_no_load_of_a_file(scratch: Scratch) -> None:
    """A compromised worker that asks for a source, and stays in its transaction, is refused."""
    with scratch.connect("ingest") as attacker, attacker.cursor() as cursor:
        for asked in (
            "SELECT vault_etl.file_source('\\x00')",
            "SELECT vault_etl.file_load_reached(gen_random_uuid(), gen_random_uuid(), 1, '\\x00')",
            "SELECT vault_etl.file_load_whole(gen_random_uuid(), gen_random_uuid(), '{}')",
        ):
            with pytest.raises(Denied):
                cursor.execute(asked)
            with scratch.database("ingest") as database:
                assert PostgresFileSources(database).find(bytes(32)).points == ()
            attacker.rollback()


@pytest.mark.parametrize(
    ("role", "call"),
    [
        ("ingest", "commit_file_load_whole(gen_random_uuid(), gen_random_uuid(), {}, NULL)"),
        ("rotate", "commit_data_keys_retire(gen_random_uuid(), 'a', 'h', {}::text[], true, NULL)"),
        ("rotate", "commit_keys_destroy(gen_random_uuid(), 'a', 'h', {}, NULL, NULL)"),
    ],
    ids=["points", "fields", "keys"],
)
def test_a_long_list_is_refused_before_the_lock(shared: Scratch, role: str, call: str) -> None:
    """Each item would be compared with each row while others wait."""
    many = f"'{{{'1,' * 100_000}1}}'"
    with shared.connect() as holder, holder.cursor() as cursor:
        cursor.execute("LOCK TABLE key_fence, file_loads IN SHARE MODE")
        with pytest.raises(psycopg2.errors.InvalidParameterValue):
            shared.sql(f"CALL vault_etl.{call.format(many)}", role=role)
