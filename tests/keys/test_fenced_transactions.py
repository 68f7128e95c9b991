"""A fenced transaction as the server sees it: its statements in their order, and its settings."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, PERSONAL_FIELDS, USER_LOGINS
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import token_keys
from tests.kit.scratch import Scratch, new_record_id, sealed_record, sealed_rejection
from tests.kit.swaps import outside, swaps
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE
from vault_etl.declaration.writer import WriterDeclaration
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.platform.postgres import Database
from vault_etl.records.fenced_writes import WriteKeys
from vault_etl.records.postgres import PostgresRecordLoader, fence_holds
from vault_etl.rotation.next_tokens import Generations, NextTokens, TokenRow
from vault_etl.rotation.postgres import PostgresDataRotations, PostgresTokenRotations
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.postgres_tokens import PostgresTokenBackfill, PostgresTokenComparer
from vault_etl.rotation.reencrypt import Replacement, SealedRow


@pytest.fixture
def keys(scratch: Scratch) -> WriteKeys:
    """Active token keys of generation 1, and a data key of every field."""
    scratch.add_token_keys()
    return scratch.write_keys(*FIELDS)


def _statements(scratch: Scratch, database: Database, work: Callable[[], object]) -> list[str]:
    """Return the statements of `work` on this connection by the server's log, one line a statement."""
    look = "SELECT pg_backend_pid()"
    with database.transaction() as cursor:
        cursor.execute(look)
        ((pid,),) = cursor.fetchall()
    work()
    log = scratch.server.log.read_text(encoding="utf-8")
    statements = re.findall(
        rf"\[{pid}\] LOG:  (?:statement|execute <unnamed>): (.*(?:\n\t.*)*)", log
    )
    after_look = statements[len(statements) - statements[::-1].index(look) + 1 :]
    return [
        " ".join(re.sub(r"--.*", "", statement).split())
        for statement in after_look
        if not statement.lstrip().startswith(
            "SELECT pg_catalog.set_config(s.name, '5s'"
        )  # for a CALL
    ]


@pytest.fixture
def logged(scratch: Scratch) -> Scratch:
    """The server writes every statement in this database to its log."""
    scratch.sql(f"ALTER DATABASE \"{scratch.name}\" SET log_statement = 'all'")
    return scratch


def test_the_lock_is_the_first_statement_and_the_read_the_second(
    logged: Scratch, keys: WriteKeys
) -> None:
    """A load is: BEGIN, lock, read behind it, COPY, INSERT, COMMIT, and no statement before the lock."""
    with logged.database("ingest") as database:
        loader = PostgresRecordLoader(database, DEFAULT)
        statements = _statements(
            logged,
            database,
            lambda: loader.load([sealed_record(keys)], [sealed_rejection(keys)], keys),
        )
    assert statements[1] == "LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE"
    assert [
        re.split(r" ?\(| vault_etl.key_fence|; SET LOCAL lock_timeout", s)[0]
        for s in statements
        if "IF NOT" not in s
    ] == [
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path = pg_catalog, pg_temp",
        "LOCK TABLE",
        LOOK,
        "SAVEPOINT rows",
        "COPY vault_etl.user_logins",
        "INSERT INTO vault_etl.quarantine",
        "SELECT vault_etl.ingest_committed",
        "COMMIT",
    ]


def test_stored_rows_are_searched_after_a_batch_that_had_some(
    logged: Scratch, keys: WriteKeys
) -> None:
    """A redelivery takes COPY back. The next batches are checked first, until one has no stored row."""
    old, *new = (sealed_record(keys) for _ in range(4))
    with logged.database("ingest") as database:
        loader = PostgresRecordLoader(database, DEFAULT)
        loader.load([old], [], keys)
        assert [
            [
                statement.split()[0]
                for statement in _statements(
                    logged, database, functools.partial(loader.load, batch, [], keys)
                )[3:-2]
            ]
            for batch in ([old, new[0]], [old, new[1]], [new[2]], [sealed_record(keys)])
        ] == [
            ["SAVEPOINT", "COPY", "ROLLBACK", "SELECT", "SAVEPOINT", "COPY"],
            ["SELECT", "SAVEPOINT", "COPY"],
            ["SELECT", "SAVEPOINT", "COPY"],
            ["SAVEPOINT", "COPY"],
        ]
    assert logged.value("SELECT count(*) FROM user_logins") == 5


LOOK = "SELECT f.active, f.pending, f.good_keys, f.declared,"


def _fenced(statements: list[str]) -> list[str]:
    """The first words of the statements behind the lock and the read, which come first."""
    assert statements[1] == "LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE"
    assert statements[2].startswith(LOOK)
    first = (" ".join(statement.split()[:2]) for statement in statements[3:])
    return [words.partition("(")[0] for words in first]


MOVED = ["SELECT vault_etl.rotation_move", "COMMIT"]


def test_a_swap_of_records_locks_first_too(logged: Scratch, keys: WriteKeys) -> None:
    """Re-encryption takes the same lock, and reads; rows and cursor are of one transaction."""
    batch = swaps([sealed_record(keys)], keys.data_keys[0])
    with logged.database("re-encrypt") as database:
        reencrypter = PostgresReencrypter(database, DEFAULT)
        statements = _statements(
            logged, database, lambda: reencrypter.replace(batch, keys.data_keys, outside())
        )
    swap = ["CREATE TEMP", "COPY pg_temp.stage_seals_user_logins", "WITH swapped"]
    assert _fenced(statements) == [*swap, *MOVED]


def test_a_swap_of_bodies_locks_first_too(logged: Scratch, keys: WriteKeys) -> None:
    """The order is the same in quarantine."""
    row = SealedRow(QUARANTINE_TABLE, new_record_id(), "", {QUARANTINE: b"old"})
    batch, step = [Replacement(row, {QUARANTINE: b"new"})], outside(QUARANTINE_TABLE)
    with logged.database("re-encrypt") as database:
        reencrypter = PostgresReencrypter(database, DEFAULT)
        statements = _statements(
            logged, database, lambda: reencrypter.replace(batch, keys.data_keys, step)
        )
    assert _fenced(statements) == ["UPDATE vault_etl.quarantine", *MOVED]


def test_a_write_of_next_tokens_locks_first_too(logged: Scratch, keys: WriteKeys) -> None:
    """The writes are the backfill, and leaving rows out, which is a fill without tokens."""
    logged.add_token_keys(2, "pending")
    generations, row = Generations(1, 2), sealed_record(keys)
    made = NextTokens(
        TokenRow(USER_LOGINS, row.record_id, "u", 1, row.tokens, row.ciphertexts, {}), row.tokens
    )
    with logged.database("re-encrypt") as database:
        backfill = PostgresTokenBackfill(database, DEFAULT)
        filling = _statements(
            logged, database, lambda: backfill.fill([made], generations, outside())
        )
    fill = ["CREATE TEMP", "COPY pg_temp.stage_tokens_user_logins", "UPDATE vault_etl.user_logins"]
    assert _fenced(filling) == [*fill, *MOVED]


@pytest.mark.usefixtures("keys")
def test_a_check_is_one_snapshot(logged: Scratch) -> None:
    """All reads are in one REPEATABLE READ transaction, which could not write."""
    with logged.database("re-encrypt") as database:
        comparer = PostgresTokenComparer(database, DEFAULT)
        statements = _statements(logged, database, lambda: comparer.compare(Generations(1, 2)))
    assert statements[1] == "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY"
    assert [statement.split()[0] for statement in statements[2:]] == [*["SELECT"] * 5, "COMMIT"]


CLOSED = [
    "SELECT set_config('lock_timeout', '2s', true), set_config('idle_in_transaction_session_timeout', '10s', true)",
    "LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE",
]


@pytest.mark.usefixtures("keys")
def test_retiring_locks_first_with_a_time_limit(logged: Scratch) -> None:
    """The procedure closes the fence before it reads or changes a row."""
    with logged.database("rotate") as database:
        store = PostgresKeyStore(database)
        statements = _statements(
            logged, database, lambda: store.retire_data_keys(rotate_request(), PERSONAL_FIELDS)
        )
    assert len(statements) == 2  # what no lease can be of any more, and all others
    assert all(text.startswith("CALL vault_etl.commit_data_keys_retire(") for text in statements)


@pytest.mark.usefixtures("keys")
def test_beginning_and_aborting_lock_first_with_a_time_limit(logged: Scratch) -> None:
    """Rotations begin and end behind the closed fence, and read their rows behind it too."""
    with logged.database("re-encrypt") as database:
        data, tokens = (
            PostgresDataRotations(database, DEFAULT),
            PostgresTokenRotations(database, DEFAULT),
        )
        for work in (
            lambda: data.begin(rotate_request(), FIELDS, 1),
            lambda: tokens.begin(rotate_request(), token_keys(2), 1),
        ):
            statements = _statements(logged, database, work)
            begins = [i for i, statement in enumerate(statements) if statement.startswith("BEGIN")]
            assert statements[begins[-1] + 1 : begins[-1] + 3] == CLOSED
            assert statements[-1] == "COMMIT"
        (aborted,) = _statements(logged, database, lambda: tokens.abort(rotate_request()))
        assert aborted.startswith("CALL vault_etl.commit_token_keys_abort(")


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
def test_an_acknowledged_transaction_is_on_disk(
    scratch: Scratch, servers: str, raised: str
) -> None:
    """`synchronous_commit` is raised to on behind the fence, never lowered, and only for the transaction."""
    scratch.sql(f"ALTER DATABASE \"{scratch.name}\" SET synchronous_commit = '{servers}'")
    with scratch.database("ingest") as database:
        with database.transaction() as cursor:
            assert fence_holds(cursor, (), None, WriterDeclaration.of(DEFAULT))
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchall() == [(raised,)]
        with database.transaction() as cursor:
            cursor.execute("SHOW synchronous_commit")
            assert cursor.fetchall() == [(servers,)]


def test_transactions_are_read_committed_whatever_the_server_says(scratch: Scratch) -> None:
    """In a stricter isolation level the read behind the fence would see the time before the wait."""
    scratch.sql(
        f"ALTER DATABASE \"{scratch.name}\" SET default_transaction_isolation = 'serializable'"
    )
    with scratch.database("ingest") as database, database.transaction() as cursor:
        cursor.execute("SHOW transaction_isolation")
        assert cursor.fetchall() == [("read committed",)]
