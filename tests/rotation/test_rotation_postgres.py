"""Rotations by several processes at once: begun once, each range claimed by one, and an open erasure wins."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import psycopg2
import pytest

from tests.kit.cut_over import filled_token
from tests.kit.declarations import DEFAULT, IN_FORCE
from tests.kit.declared import FIELDS, IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.months import insert, month_start
from tests.kit.new_keys import token_keys
from tests.kit.scratch import Scratch, new_record_id, sealed_record
from tests.kit.swaps import everything, outside
from tests.kit.waiting import in_the_way
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.platform.postgres import Database
from vault_etl.records.fenced_writes import WriteKeys
from vault_etl.rotation.next_tokens import Generations, NextTokens
from vault_etl.rotation.postgres import (
    PostgresDataRotations,
    PostgresRangeClaims,
    PostgresTokenRotations,
)
from vault_etl.rotation.postgres_tokens import PostgresTokenBackfill
from vault_etl.rotation.ranges import OpenRotation, Range

T = TypeVar("T")

AT_ONCE = 4


@pytest.fixture
def keys(scratch: Scratch) -> WriteKeys:
    """Active token keys, and a data key a field."""
    scratch.add_token_keys()
    return scratch.write_keys(*FIELDS)


def at_once(scratch: Scratch, work: Callable[[Database], T]) -> list[T]:
    """Run the same function over several connections at the same moment."""
    together = threading.Barrier(AT_ONCE)

    def one(_: int) -> T:
        with scratch.database("re-encrypt") as database:
            with database.transaction() as cursor:
                cursor.execute("SELECT 1")
            together.wait(20)
            return work(database)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(AT_ONCE)))


def load(scratch: Scratch, keys: WriteKeys, count: int) -> None:
    """Store records."""
    with scratch.loader() as loader:
        loader.load([sealed_record(keys) for _ in range(count)], [], keys)


@pytest.mark.parametrize("is_of_tokens", [False, True])
def test_a_rotation_is_begun_once(scratch: Scratch, keys: WriteKeys, is_of_tokens: bool) -> None:
    """Of several beginnings at once one retires the keys or makes them pending; the others continue that rotation."""
    load(scratch, keys, 3)

    def begin(database: Database) -> OpenRotation:
        if is_of_tokens:
            return PostgresTokenRotations(database, DEFAULT).begin(
                rotate_request(), token_keys(2), 2
            )
        return PostgresDataRotations(database, DEFAULT).begin(rotate_request(), FIELDS, 2)

    begun = at_once(scratch, begin)
    assert len({each.rotation_id for each in begun}) == 1
    assert sorted(each.resumed for each in begun) == [False, True, True, True]
    assert sorted(len(each.retired) for each in begun) == [0, 0, 0, 0 if is_of_tokens else 3]
    pending = scratch.value("SELECT count(*) FROM data_keys WHERE state = 'pending'")
    assert pending == (2 if is_of_tokens else 0)


def test_no_range_is_claimed_by_two_at_once(scratch: Scratch, keys: WriteKeys) -> None:
    """In every interleaving each range has one worker, no range is skipped, and no worker waits for another."""
    load(scratch, keys, 50)
    scratch.sql(f"ALTER DATABASE \"{scratch.name}\" SET lock_timeout = '2s'")
    with scratch.database("re-encrypt") as database:
        begun = PostgresDataRotations(database, DEFAULT).begin(rotate_request(), FIELDS, 40)

    run = rotate_request()
    with scratch.database("re-encrypt") as database:
        PostgresAuditLog(database).intend(run)

    def claim(database: Database) -> list[Range]:
        claims, found = PostgresRangeClaims(database, run.request_id), list[Range]()
        while (held := claims.claim(begun.rotation_id, uuid.uuid4())) is not None:
            found.append(held)
        return found

    with scratch.connect("re-encrypt") as other, other.cursor() as cursor:
        cursor.execute("SELECT first FROM rotation_ranges ORDER BY first LIMIT 1 FOR UPDATE")
        (locked,) = cursor.fetchall()
        claimed = [held.first for each in at_once(scratch, claim) for held in each]
    ranges = scratch.sql("SELECT first FROM rotation_ranges WHERE first <> %s", locked[0])
    assert len(ranges) > 20
    assert sorted(claimed) == sorted(first for (first,) in ranges)


@pytest.mark.parametrize(("ranges", "a_month"), [(1, 1), (4, 2), (5, 3)])
def test_months_share_the_ranges(scratch: Scratch, ranges: int, a_month: int) -> None:
    """Each month is cut into as many ranges as any other, and into one at least."""
    for ahead in (-1, 0):
        begins = month_start(ahead)
        for day in (0, 9):
            insert(scratch, new_record_id(begins + dt.timedelta(days=day)))
    with scratch.database("re-encrypt") as database:
        PostgresDataRotations(database, DEFAULT).begin(rotate_request(), FIELDS, ranges)
    cut = scratch.sql("SELECT count(*) FROM rotation_ranges GROUP BY vault_etl.month_of(first)")
    assert cut == [(a_month,), (a_month,)]


def test_a_batch_that_was_open_at_the_beginning_is_in_a_range(
    scratch: Scratch, keys: WriteKeys
) -> None:
    """Ranges are cut behind the fence: a row under an old key, committed just before, is not missed."""
    late = sealed_record(keys)
    with scratch.connect() as loading, loading.cursor() as cursor:
        cursor.execute("LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE")
        cursor.execute(
            "INSERT INTO user_logins (record_id, user_id, device_type, ip_ciphertext, create_date)"
            " VALUES (%s, 'u', 'd', %s, now())",
            (late.record_id, late.ciphertexts[IP]),
        )

        def begin() -> OpenRotation:
            with scratch.database("re-encrypt") as database:
                return PostgresDataRotations(database, DEFAULT).begin(rotate_request(), FIELDS, 1)

        with in_the_way(scratch, begin):
            loading.commit()
    ranges = scratch.sql("SELECT first, last FROM rotation_ranges WHERE place = 'user_logins'")
    assert ranges == [(late.record_id, late.record_id)]


def test_an_erasure_in_progress_wins_over_a_fill(scratch: Scratch, keys: WriteKeys) -> None:
    """The fill waits for the erasure, reads the row again, and leaves the row without a next token."""
    load(scratch, keys, 2)
    with scratch.database("re-encrypt") as database:
        PostgresTokenRotations(database, DEFAULT).begin(rotate_request(), token_keys(2), 1)
        backfill, generations = PostgresTokenBackfill(database, DEFAULT), Generations(1, 2)
        rows = backfill.page(generations, everything(), 10).rows
        made = [NextTokens(r, {f: filled_token(t) for f, t in r.tokens.items()}) for r in rows]
        # The superuser may keep the transaction open; a client's erasure commits by itself.
        with scratch.connect() as erasing, erasing.cursor() as cursor:
            cursor.execute(
                f"SELECT vault_etl.erase(gen_random_uuid(), 'a', 'h', %s, NULL, NULL, 'a test', {IN_FORCE})",
                (rows[0].record_id,),
            )
            with in_the_way(scratch, lambda: backfill.fill(made, generations, outside())) as filled:
                erasing.commit()
    assert filled == [1]
    forgotten = scratch.value(
        "SELECT num_nonnulls(masked_ip, next_masked_ip, next_token_generation) FROM user_logins"
        " WHERE record_id = %s",
        rows[0].record_id,
    )
    assert forgotten == 0


@pytest.mark.parametrize(
    ("purpose", "fields", "old_keys"),
    [
        ("data", "{{ip},{device_id}}", "{1}"),
        ("data", "{}", "{1}"),
        ("data", "{NULL}", "{1}"),
        ("data", "{ip}", "{{1},{2}}"),
        ("token", "{quarantine}", "{1}"),
    ],
)
def test_a_rotation_is_of_plain_lists(
    shared: Scratch, purpose: str, fields: str, old_keys: str
) -> None:
    """A list that re-encrypt added by its own SQL must cause no error in the next rotation."""
    with pytest.raises(psycopg2.errors.CheckViolation):
        shared.sql(
            "INSERT INTO key_rotations (purpose, rotation_id, fields, old_keys)"
            " VALUES (%s, gen_random_uuid(), %s::text[], %s::bigint[])",
            purpose,
            fields,
            old_keys,
            role="re-encrypt",
        )
