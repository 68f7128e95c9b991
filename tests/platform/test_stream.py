"""Long results: computed once, kept by the client, and no session waits for their reader."""

from __future__ import annotations

import tracemalloc

import psutil
import pytest

from tests.kit.scratch import Scratch
from vault_etl.base.errors import DeniedError
from vault_etl.platform.postgres_stream import stream

ROWS = 200_000
NUMBERS = "SELECT n, repeat('x', 100) FROM generate_series(1, %(rows)s) AS n ORDER BY n"
IN_TRANSACTION = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    " AND backend_type = 'client backend' AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL)"
)


def test_every_row_comes_once_and_in_order(shared: Scratch) -> None:
    """The cases are no row, one page of rows, and one row more."""
    with shared.database("analyst") as database:
        for rows in (0, 1, 999, 1_000, 1_001, 2_500):
            numbers = [row[0] for row in stream(database, NUMBERS, {"rows": rows})]
            assert numbers == list(range(1, rows + 1))


def test_memory_does_not_grow_with_the_result(shared: Scratch) -> None:
    """Two hundred thousand rows of a hundred characters pass in a few pages' memory."""
    with shared.database("analyst") as database:
        tracemalloc.start()
        try:
            count = sum(1 for _ in stream(database, NUMBERS, {"rows": ROWS}))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert count == ROWS
    assert peak < 4_000_000


def test_a_paused_reader_blocks_no_session(shared: Scratch) -> None:
    """Between two rows there is no transaction: the table can be locked, and its snapshot is free."""
    query = (
        "SELECT masked_ip, n FROM vault_etl.user_logins_masked"
        " RIGHT JOIN generate_series(1, 5000) AS n ON true"
    )
    with shared.database("analyst") as database:
        rows = stream(database, query, {})
        for _ in range(1_500):
            next(rows)
        assert shared.value(IN_TRANSACTION) == 0
        shared.sql("BEGIN; LOCK TABLE user_logins IN ACCESS EXCLUSIVE MODE NOWAIT; ROLLBACK")
        assert sum(1 for _ in rows) == 3_500


def test_the_connection_is_free_in_between(shared: Scratch) -> None:
    """Another transaction on it neither ends the stream nor mixes with it."""
    with shared.database("analyst") as database:
        rows = stream(database, NUMBERS, {"rows": 3_000})
        next(rows)
        with database.transaction() as cursor:
            cursor.execute("SELECT 1")
        assert sum(1 for _ in rows) == 2_999


def test_an_error_is_raised_before_the_first_row(shared: Scratch) -> None:
    """A statement that is denied raises when it is asked, not when it is read."""
    with shared.database("analyst") as database, pytest.raises(DeniedError):
        stream(database, "SELECT ip_ciphertext FROM vault_etl.user_logins", {})


def test_a_connection_that_is_lost_takes_no_row_away(shared: Scratch) -> None:
    """All rows came before the first row was read."""
    with shared.database("analyst") as database:
        rows = stream(database, NUMBERS, {"rows": 3_000})
        next(rows)
        shared.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert sum(1 for _ in rows) == 2_999


def test_a_reader_that_goes_away_leaves_nothing(shared: Scratch) -> None:
    """The reader leaves no cursor in the connection, and no open file of a long result."""
    before = psutil.Process().num_fds()
    with shared.database("analyst") as database:
        for _ in range(2):
            rows = stream(database, NUMBERS, {"rows": 20_000})
            next(rows)
            del rows
        with database.transaction() as cursor:
            cursor.execute("SELECT count(*) FROM pg_cursors WHERE is_holdable")
            assert cursor.fetchone() == (0,)
    assert psutil.Process().num_fds() <= before
