"""Months: every record has one partition, and making a partition blocks no session."""

from __future__ import annotations

import datetime as dt
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from tests.kit.months import INSERT, ensure, insert, month_start, name_of, partitions
from tests.kit.scratch import Scratch, new_record_id
from vault_etl.crypto.record_id import record_id_of_message

MILLISECOND = dt.timedelta(milliseconds=1)


def test_migrate_makes_the_months_around_now(scratch: Scratch) -> None:
    """The months are from two back to three ahead, and the partition of lines without a known day."""
    months = {name_of(ahead) for ahead in range(-2, 4)}
    assert partitions(scratch) == months | {"user_logins_undated"}


@pytest.mark.parametrize("zone", ["UTC", "America/New_York", "Pacific/Kiritimati"])
def test_first_and_last_millisecond_of_a_month_are_in_it(scratch: Scratch, zone: str) -> None:
    """Months are UTC months, from their first to their last millisecond, whatever the session's time zone."""
    scratch.sql(f"ALTER DATABASE \"{scratch.name}\" SET timezone = '{zone}'")
    for ahead in range(-24, 4):
        first, end = month_start(ahead), month_start(ahead + 1)
        assert ensure(scratch, (end - MILLISECOND).date()) == name_of(ahead)
        assert insert(scratch, new_record_id(first)) == name_of(ahead)
        assert insert(scratch, new_record_id(end - MILLISECOND)) == name_of(ahead)
    with scratch.loader() as loader:
        ranges = loader.prepare_partitions()
    assert [r.end for r in ranges[1:-1]] == [r.first for r in ranges[2:]]
    for ahead in range(-24, 4):
        for moment in (month_start(ahead), month_start(ahead + 1) - MILLISECOND):
            record_id = new_record_id(moment)
            assert sum(r.first <= record_id < r.end for r in ranges) == 1
    outside = (
        month_start(-24) - MILLISECOND,
        month_start(4),
        dt.datetime(1970, 1, 2, tzinfo=dt.UTC),
    )
    for moment in outside:
        record_id = new_record_id(moment)
        assert not any(r.first <= record_id < r.end for r in ranges)
        with pytest.raises(psycopg2.errors.CheckViolation):
            insert(scratch, record_id)


def test_time_zero_is_undated(shared: Scratch) -> None:
    """Exactly the millisecond 0 of 1970 goes to `user_logins_undated`; the next one has no place."""
    record_id = record_id_of_message("a", 0)
    assert insert(shared, record_id) == "user_logins_undated"
    with shared.loader() as loader:
        assert any(r.first <= record_id < r.end for r in loader.prepare_partitions())
    with pytest.raises(psycopg2.errors.CheckViolation) as refused:
        insert(shared, record_id_of_message("a", 1))
    assert refused.value.diag.constraint_name is None


def test_there_is_no_default_partition(shared: Scratch) -> None:
    """A row in a default partition would keep its month from being made later."""
    assert not shared.sql("SELECT partdefid FROM pg_partitioned_table WHERE partdefid <> 0")


@pytest.mark.parametrize("ahead", [-25, 4, 1200])
def test_a_month_too_far_away_is_refused(shared: Scratch, ahead: int) -> None:
    """No caller can fill the catalog: months are made from 24 back to 3 ahead only."""
    before = partitions(shared)
    with pytest.raises(psycopg2.errors.InvalidParameterValue):
        ensure(shared, month_start(ahead).date())
    assert partitions(shared) == before


@pytest.mark.parametrize("day", ["infinity", "-infinity", "0001-01-01 BC", None])
def test_an_invalid_day_is_refused(shared: Scratch, day: str | None) -> None:
    """Infinity, NULL and other ages make no table."""
    before = partitions(shared)
    with pytest.raises(psycopg2.DataError):
        shared.sql("SELECT vault_etl.ensure_partition('user_logins', %s::date)", day, role="ingest")
    assert partitions(shared) == before


def test_a_month_is_made_once(scratch: Scratch) -> None:
    """Every day of a month names the same partition, and asking again changes nothing."""
    first = month_start(-7).date()
    names = {ensure(scratch, first + dt.timedelta(days=day)) for day in (0, 1, 27)}
    assert names == {name_of(-7)}
    assert partitions(scratch) >= names


def test_several_processes_make_the_same_months_at_once(scratch: Scratch) -> None:
    """Four at the same moment all succeed, and each month is there once."""
    barrier = threading.Barrier(4)

    def make(months: range) -> list[str]:
        barrier.wait()
        return [ensure(scratch, month_start(ahead).date()) for ahead in months]

    backwards = range(-3, -9, -1)
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(make, [backwards] * 4))
    assert results == [[name_of(ahead) for ahead in backwards]] * 4
    assert {name_of(ahead) for ahead in backwards} <= partitions(scratch)


def test_a_partition_belongs_to_the_owner_alone(scratch: Scratch) -> None:
    """A new month has every index of the table, belongs to the owner, and is reached through the table only."""
    name = ensure(scratch, month_start(-9).date())
    ((owner, acl, indexes),) = scratch.sql(
        "SELECT relowner::regrole::text, relacl, (SELECT count(*) FROM pg_index WHERE indrelid = c.oid)"
        " FROM pg_class AS c WHERE relname = %s",
        name,
    )
    of_table = scratch.value(
        "SELECT count(*) FROM pg_index WHERE indrelid = 'user_logins'::regclass"
    )
    assert (owner, acl, indexes) == ("vault_etl_owner", None, of_table)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        scratch.sql(f"SELECT record_id FROM vault_etl.{name}", role="analyst")  # noqa: S608


@pytest.mark.parametrize("mode", ["ROW EXCLUSIVE", "ACCESS SHARE", "ROW SHARE"])
def test_making_a_month_waits_for_no_loader_and_no_query(scratch: Scratch, mode: str) -> None:
    """With a load, a query or a dump open on the table, another month is attached at once."""
    with scratch.connect() as other, other.cursor() as cursor:
        cursor.execute(f"LOCK TABLE vault_etl.user_logins IN {mode} MODE")
        cursor.execute(f"{INSERT} VALUES (%s, 'u', 'd', '2026-01-01')", (new_record_id(),))
        begun = time.monotonic()
        assert ensure(scratch, month_start(-9).date()) == name_of(-9)
        assert time.monotonic() - begun < 1
        other.commit()


def test_a_loader_does_not_wait_for_a_month_being_made(scratch: Scratch) -> None:
    """While the transaction that attaches a month is open, rows of other months go in."""
    with scratch.connect("ingest") as other, other.cursor() as cursor:
        cursor.execute(
            "SELECT vault_etl.ensure_partition('user_logins', %s)", (month_start(-9).date(),)
        )
        with scratch.connect() as loading, loading.cursor() as insert_cursor:
            insert_cursor.execute("SET lock_timeout = '1s'")
            insert_cursor.execute(
                f"{INSERT} VALUES (%s, 'u', 'd', '2026-01-01')", (new_record_id(),)
            )
            loading.commit()
        other.commit()


def test_months_that_are_there_take_no_lock(scratch: Scratch) -> None:
    """Ingest starts while an ANALYZE, an index build or another month's ATTACH holds the table."""
    with scratch.connect() as other, other.cursor() as cursor, scratch.loader() as loader:
        cursor.execute("LOCK TABLE vault_etl.user_logins IN SHARE ROW EXCLUSIVE MODE")
        assert len(loader.prepare_partitions()) == 7


def test_ingest_waits_for_a_lock_on_the_table(scratch: Scratch) -> None:
    """While an ANALYZE holds the table and a month is missing, ingest retries, and does not fail."""
    scratch.sql(f"DROP TABLE vault_etl.{name_of(3)}")
    with scratch.connect() as other, other.cursor() as cursor, scratch.loader() as loader:
        cursor.execute("LOCK TABLE vault_etl.user_logins IN SHARE UPDATE EXCLUSIVE MODE")
        release = threading.Timer(2.5, other.rollback)  # longer than the function's lock_timeout
        release.start()
        try:
            assert len(loader.prepare_partitions()) == 7
        finally:
            release.join()


def test_a_partition_that_is_being_detached_has_no_range(scratch: Scratch) -> None:
    """A month whose DETACH CONCURRENTLY is under way takes no rows, so the loader does not count on it."""
    with scratch.connect() as other, other.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM vault_etl.user_logins")
        scratch.sql(f'ALTER DATABASE "{scratch.name}" SET statement_timeout = 300')
        with pytest.raises(psycopg2.errors.QueryCanceled):
            scratch.sql("ALTER TABLE user_logins DETACH PARTITION user_logins_undated CONCURRENTLY")
        scratch.sql(f'ALTER DATABASE "{scratch.name}" RESET statement_timeout')
        other.rollback()
    with scratch.loader() as loader:
        assert len(loader.prepare_partitions()) == 6
