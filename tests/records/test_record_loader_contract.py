"""RecordLoader: a batch is stored whole behind the fence or not at all, and a conflict is not an error."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import uuid
from collections.abc import Callable, Iterable

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import PERSONAL_FIELDS, USER_LOGINS
from tests.kit.key_changes import CHANGES, retired
from tests.kit.login_records import changed
from tests.kit.new_keys import token_keys
from tests.kit.rows import Writer, writer
from tests.kit.stored_rows import columns
from vault_etl.crypto.record_id import first_millisecond, record_id_of_message
from vault_etl.records.fenced_writes import KeysChanged, Loaded, RowsRefused, WriteKeys
from vault_etl.records.messages import RecordRange

DAY_MS = 24 * 3600 * 1000


def test_every_column_is_stored_as_it_was_given(bench: Bench) -> None:
    """Text of every script, NULLs, the first and the last day, tokens and bytes come back unchanged."""
    process = writer(bench)
    moment = dt.datetime(2026, 1, 31, 23, 59, 59, 999999, dt.UTC)
    rows = [
        process.record(event_time=moment),
        process.record(
            user_id="é😀\t\n\\N\\.'\"", device_type="\u202e\x01", locale="", app_version=" "
        ),
        process.record(locale=None, app_version=None, create_date=dt.date(1, 1, 1)),
        process.record(user_id="u" * 128, device_type="d" * 32, create_date=dt.date.max),
        process.record(user_id="😀" * 128, locale="é" * 32, app_version="v" * 32),
    ]
    loaded = process.load(*rows)
    assert loaded == Loaded(frozenset(row.record_id for row in rows), frozenset())
    assert bench.records() == {row.record_id: columns(row) for row in rows}


def test_a_rejection_is_stored_as_it_was_given(bench: Bench) -> None:
    """Its reason, its path and its sealed body come back unchanged."""
    process = writer(bench)
    row = process.rejection()
    assert process.load(row) == Loaded(frozenset(), frozenset({row.record_id}))
    assert bench.rejections() == {
        row.record_id: (row.reason.value, row.path, row.body_ciphertext),
    }


def test_an_empty_batch_commits(bench: Bench) -> None:
    """An empty batch commits and stores no row."""
    assert writer(bench).load() == Loaded(frozenset(), frozenset())


def test_a_stored_record_is_left_as_it_was(bench: Bench) -> None:
    """A conflict on the record id is a duplicate: its id is not among the stored ids, and no row is overwritten."""
    process = writer(bench)
    old, new, rejected = process.record(), process.record(), process.rejection()
    process.load(old, rejected)
    again = changed(old, user_id="another user")
    rejected_again = dataclasses.replace(rejected, path="$.other")
    assert process.load(again, new, rejected_again) == Loaded(
        frozenset({new.record_id}), frozenset()
    )
    assert bench.records() == {row.record_id: columns(row) for row in (old, new)}
    assert bench.rejections()[rejected.record_id][1] == "$.ip"


def test_next_tokens_are_stored_while_a_generation_is_pending(bench: Bench) -> None:
    """Next tokens are stored beside the active tokens."""
    process = writer(bench)
    bench.pending(token_keys(2))
    tokens = {field: uuid.uuid4() for field in PERSONAL_FIELDS}
    row = process.record(next_tokens=tokens, next_token_generation=2)
    assert isinstance(bench.loader.load([row], [], process.write_keys(1, 2)), Loaded)
    assert bench.records() == {row.record_id: columns(row)}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_fence_refuses_keys_that_are_not_current(
    bench: Bench, change: Callable[[Writer], WriteKeys]
) -> None:
    """No row of the batch is stored, and the loader stays usable."""
    process = writer(bench)
    result = bench.loader.load([process.record()], [process.rejection()], change(process))
    assert result == KeysChanged()
    assert bench.records() == {}
    assert bench.rejections() == {}


def test_the_next_batch_is_loaded_after_keys_changed(bench: Bench) -> None:
    """The batch is loaded under new keys."""
    process = writer(bench)
    assert bench.loader.load([process.record()], [], retired(process)) == KeysChanged()
    renewed = writer(bench)
    renewed.load(renewed.record())
    assert len(bench.records()) == 1


@pytest.mark.parametrize(
    ("changes", "sqlstate"),
    [
        ({"user_id": "u" * 129}, "23514"),
        ({"user_id": ""}, "23514"),
        ({"device_type": "d" * 33}, "23514"),
        ({"device_type": ""}, "23514"),
        ({"locale": "l" * 33}, "23514"),
        ({"app_version": "v" * 33}, "23514"),
        ({"user_id": "nul\x00"}, "22021"),
        ({"locale": "\x00"}, "22021"),
    ],
)
def test_a_value_that_the_database_refuses_is_reported_by_its_sqlstate(
    bench: Bench, changes: dict[str, object], sqlstate: str
) -> None:
    """No row is named, no row of the batch is stored, and the loader stays usable."""
    process = writer(bench)
    good, rejected = process.record(), process.rejection()
    result = bench.loader.load([good, process.record(**changes)], [rejected], process.write_keys())
    assert result == RowsRefused(sqlstate)
    assert bench.records() == {}
    assert bench.rejections() == {}
    process.load(good, rejected)
    assert set(bench.records()) == {good.record_id}


def test_partitions_reach_from_two_months_back_to_three_ahead(bench: Bench) -> None:
    """The partitions also hold the time 0; no other time can be stored. A repeated call is safe."""
    ranges = bench.loader.prepare_partitions()
    assert bench.loader.prepare_partitions() == ranges
    assert all(one.end <= other.first for one, other in itertools.pairwise(ranges))
    now = int(bench.now().timestamp() * 1000)

    def inside(sent_ms: int) -> bool:
        record_id = record_id_of_message("m", sent_ms)
        return any(r.first <= record_id < r.end for r in ranges)

    assert all(inside(now + days * DAY_MS) for days in (-59, -30, 0, 1, 30, 60, 88))
    assert not any(inside(now + days * DAY_MS) for days in (-93, 124, 400))
    assert inside(0)
    assert not inside(1)


def test_a_row_at_each_end_of_a_partition_is_stored(bench: Bench) -> None:
    """The reported ranges are those of the table itself."""
    process = writer(bench)
    ends = [r.first for r in bench.loader.prepare_partitions()]
    ends += [uuid.UUID(int=r.end.int - 1) for r in bench.loader.prepare_partitions()]
    process.load(*(process.record(record_id=record_id) for record_id in ends))
    assert set(bench.records()) == set(ends)


def _day(bench: Bench, months_ahead: int) -> dt.date:
    """The 17th of a month, counted from the month of the database's clock."""
    now = bench.now()
    years, month = divmod(now.month - 1 + months_ahead, 12)
    return dt.date(now.year + years, month + 1, 17)


def _holds(ranges: Iterable[RecordRange], day: dt.date) -> bool:
    record_id = record_id_of_message("m", first_millisecond(day))
    return any(r.first <= record_id < r.end for r in ranges)


@pytest.mark.parametrize("ahead", [-24, -23, -3])
def test_a_month_is_made_when_it_is_asked_for(bench: Bench, ahead: int) -> None:
    """Any day of a month makes that month, besides the months around now; the month stays."""
    day = _day(bench, ahead)
    before = bench.loader.prepare_partitions()
    assert not _holds(before, day)
    made = bench.loader.prepare_partitions([(USER_LOGINS, day), (USER_LOGINS, day.replace(day=1))])
    assert _holds(made, day)
    assert set(before) < set(made)
    assert len(made) == len(before) + 1
    assert bench.loader.prepare_partitions() == made
    process = writer(bench)
    row = process.record()._replace(record_id=record_id_of_message("m", first_millisecond(day)))
    assert process.load(row).record_ids == {row.record_id}


def test_a_month_out_of_bounds_is_skipped(bench: Bench) -> None:
    """A file may name any day; the months within bounds are made all the same."""
    before = bench.loader.prepare_partitions()
    days = [_day(bench, -25), _day(bench, 4), dt.date(1, 1, 1), dt.date(1970, 1, 1), dt.date.max]
    outside = [(USER_LOGINS, day) for day in days]
    assert bench.loader.prepare_partitions(outside) == before
    inside = _day(bench, -5)
    assert _holds(
        bench.loader.prepare_partitions([*outside, (USER_LOGINS, inside), *outside]), inside
    )
