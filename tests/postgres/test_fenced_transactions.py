"""What a fenced transaction looks like from the server: its statements in their order, and its settings."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.postgres.scratch import Scratch, new_record_id, sealed_record, sealed_rejection
from vault_etl.adapters.postgres import Database
from vault_etl.adapters.postgres_keys import PostgresKeyStore
from vault_etl.adapters.postgres_records import PostgresRecordLoader, fence_holds
from vault_etl.adapters.postgres_reseal import PostgresResealer
from vault_etl.core.fields import PERSONAL_FIELDS, Field
from vault_etl.ports.record_store import Replacement, SealedValue, WriteKeys


@pytest.fixture
def keys(scratch: Scratch) -> WriteKeys:
    """Active token keys of generation 1, and a data key of every field."""
    scratch.add_token_keys()
    return scratch.write_keys(*Field)


def _statements(scratch: Scratch, database: Database, work: Callable[[], object]) -> list[str]:
    """What the server's log says that `work` made this connection execute, one line a statement."""
    with database.transaction() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        ((pid,),) = cursor.fetchall()
    work()
    log = scratch.server.log.read_text(encoding="utf-8")
    _, *statements = re.findall(rf"\[{pid}\] LOG:  statement: (.*(?:\n\t.*)*)", log)
    after_look = statements[statements.index("COMMIT") + 1 :]
    return [re.sub(r"\s+", " ", statement) for statement in after_look]


@pytest.fixture
def logged(scratch: Scratch) -> Scratch:
    """The server writes every statement in this database to its log."""
    scratch.sql(f"ALTER DATABASE \"{scratch.name}\" SET log_statement = 'all'")
    return scratch


def test_the_lock_is_the_first_statement_and_the_look_the_second(
    logged: Scratch, keys: WriteKeys
) -> None:
    """A load is: BEGIN, the lock, the look behind it, staging, inserting, COMMIT, and nothing before the lock."""
    with logged.database("ingest") as database:
        loader = PostgresRecordLoader(database)
        statements = _statements(
            logged,
            database,
            lambda: loader.load([sealed_record(keys)], [sealed_rejection(keys)], keys),
        )
    assert statements[1] == "LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE"
    assert [re.split(r" \(| public.key_fence", s)[0] for s in statements if "IF NOT" not in s] == [
        "BEGIN ISOLATION LEVEL READ COMMITTED",
        "LOCK TABLE",
        "SELECT",
        "COPY pg_temp.stage_0003",
        "INSERT INTO public.user_logins",
        "INSERT INTO public.quarantine",
        "COMMIT",
    ]


def test_a_swap_locks_first_too(logged: Scratch, keys: WriteKeys) -> None:
    """Sealing anew takes the same lock as its first statement, and looks with the second."""
    key = keys.data_keys[0]
    value = SealedValue(Field.IP, new_record_id(), "u", b"old")
    with logged.database("re-encrypt") as database:
        resealer = PostgresResealer(database)
        statements = _statements(
            logged, database, lambda: resealer.replace([Replacement(value, b"new")], key)
        )
    assert statements[1] == "LOCK TABLE public.key_fence IN ROW EXCLUSIVE MODE"
    assert [statement.split()[0] for statement in statements] == [
        "BEGIN",
        "LOCK",
        "SELECT",
        "UPDATE",
        "COMMIT",
    ]


@pytest.mark.usefixtures("keys")
def test_retiring_locks_first_with_a_time_limit(logged: Scratch) -> None:
    """Retiring closes the fence before it looks at or changes anything."""
    with logged.database("rotate") as database:
        store = PostgresKeyStore(database)
        statements = _statements(logged, database, lambda: store.retire_data_keys(PERSONAL_FIELDS))
    assert statements[1:3] == [
        "SET LOCAL lock_timeout = '2s'",
        "LOCK TABLE public.key_fence IN SHARE ROW EXCLUSIVE MODE",
    ]
    assert statements[3].startswith("UPDATE public.data_keys")


@pytest.mark.parametrize(
    ("servers", "raised"),
    [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ],
)
def test_what_is_acknowledged_is_on_disk(scratch: Scratch, servers: str, raised: str) -> None:
    """`synchronous_commit` is raised to on behind the fence, never lowered, and only for the transaction."""
    scratch.sql(f"ALTER DATABASE \"{scratch.name}\" SET synchronous_commit = '{servers}'")
    with scratch.database("ingest") as database:
        with database.transaction() as cursor:
            assert fence_holds(cursor, (), None)
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchall() == [(raised,)]
        with database.transaction() as cursor:
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchall() == [(servers,)]


def test_transactions_are_read_committed_whatever_the_server_says(scratch: Scratch) -> None:
    """In a stricter isolation level the look behind the fence would see the time before the wait."""
    scratch.sql(
        f"ALTER DATABASE \"{scratch.name}\" SET default_transaction_isolation = 'serializable'"
    )
    with scratch.database("ingest") as database, database.transaction() as cursor:
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchall() == [("read committed",)]
