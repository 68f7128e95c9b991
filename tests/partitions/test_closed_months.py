"""Months that are closed, and months that another hand made: bounds decide, and no names."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, USER_LOGINS
from tests.kit.months import ensure, month_start, name_of, partitions
from tests.kit.scratch import Scratch, new_record_id, sealed_record, sealed_rejection
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.event.rejection import Reason
from vault_etl.records.fenced_writes import Loaded
from vault_etl.records.messages import RecordRange, SealedRejection

CLOSE = (
    "INSERT INTO closed_months (event, first, until, partition)"
    " SELECT 'user_logins', first_record_id(%s), first_record_id(%s), %s"
)


def make(database: Scratch, name: str, first: dt.datetime, until: dt.datetime) -> None:
    """A partition as another tool makes it."""
    database.sql(
        "DO $$ BEGIN EXECUTE format('CREATE TABLE %I PARTITION OF user_logins FOR VALUES FROM (%L) TO (%L)',"
        f" '{name}', first_record_id('{first}'), first_record_id('{until}')); END $$"
    )


@pytest.mark.parametrize("name", ["user_logins_p2026_03", "user_logins_old"])
def test_a_month_of_another_name_is_that_month(scratch: Scratch, name: str) -> None:
    """No partition is made beside it, the loader stores there, and `doctor` reports no missing month."""
    scratch.sql(f"DROP TABLE {name_of(3)}")
    make(scratch, name, month_start(3), month_start(4))
    assert ensure(scratch, month_start(3).date()) == name
    assert name_of(3) not in partitions(scratch)
    scratch.add_token_keys()
    keys = scratch.write_keys()
    with scratch.loader() as loader:
        assert len(loader.prepare_partitions()) == 7
        row = sealed_record(keys, record_id=new_record_id(month_start(3)))
        assert isinstance(loader.load([row], [], keys), Loaded)
    with scratch.database("audit") as database:
        assert PostgresFacts(database).missing_months(DEFAULT.events, 3) == []


def test_a_part_of_a_month_is_reported_and_is_no_bug(scratch: Scratch) -> None:
    """Events of the part are stored, nothing is made over it, and `doctor` names the incomplete month."""
    middle = month_start(3) + dt.timedelta(days=14)
    scratch.sql(f"DROP TABLE {name_of(3)}")
    make(scratch, "two_weeks", month_start(3), middle)
    with scratch.loader() as loader, scratch.database("audit") as database:
        assert len(loader.prepare_partitions([(USER_LOGINS, month_start(3).date())])) == 7
        assert PostgresFacts(database).missing_months(DEFAULT.events, 3) == [
            f"{month_start(3):%Y-%m}"
        ]
        make(scratch, "the_rest", middle, month_start(4))
        assert PostgresFacts(database).missing_months(DEFAULT.events, 3) == []


def test_a_partition_that_begins_with_the_first_id_has_a_range(scratch: Scratch) -> None:
    """MINVALUE and MAXVALUE are bounds too: what lies behind them has a place."""
    scratch.sql(
        "CREATE TABLE the_rest PARTITION OF user_logins FOR VALUES"
        f" FROM ('{new_record_id(month_start(30))}') TO (MAXVALUE)"
    )
    with scratch.loader() as loader:
        assert loader.prepare_partitions()[-1].end.int == (1 << 128) - 1


def test_a_closed_month_is_not_made(scratch: Scratch) -> None:
    """Neither a schedule nor a message makes it; its range is reported as closed."""
    scratch.sql(f"DROP TABLE {name_of(-2)}")
    scratch.sql(CLOSE, month_start(-2), month_start(-1), name_of(-2))
    with scratch.loader() as loader:
        ranges = loader.prepare_partitions([(USER_LOGINS, month_start(-2).date())])
    assert name_of(-2) not in partitions(scratch)
    assert [r for r in ranges if r.closed] == [
        RecordRange(USER_LOGINS, ranges[1].first, ranges[1].end, True)
    ]
    assert ranges[1].end == ranges[2].first


def test_a_month_that_is_detached_by_hand_is_not_made(scratch: Scratch) -> None:
    """A second table would take what the first one has already."""
    scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {name_of(-2)}")
    assert (
        scratch.value("SELECT ensure_partition('user_logins', %s)", month_start(-2).date()) is None
    )


def test_a_copy_of_what_a_closed_month_has_is_a_duplicate(scratch: Scratch) -> None:
    """Erased or not: in quarantine it would be there in clear for a reader, and no erasure of a user finds it there."""
    scratch.add_token_keys()
    keys = scratch.write_keys(*FIELDS)
    (stored, erased, other) = (sealed_record(keys) for _ in range(3))
    with scratch.loader() as loader:
        loader.load([stored], [], keys)
        ((name,),) = scratch.sql("SELECT tableoid::regclass::text FROM user_logins")
        scratch.sql(
            "SELECT partition_close(r.event, r.partition, r.first, r.until) FROM partition_ranges() AS r"
            " WHERE r.partition = %s",
            name,
        )
        scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {name}")
        scratch.sql(f"SELECT partition_move_detached('{name}')")
        scratch.sql(
            "INSERT INTO archived_erasures (event, first, record_id) SELECT event, first, %s FROM closed_months",
            erased.record_id,
        )
        late = [
            SealedRejection(
                each.record_id, Reason.MONTH_CLOSED, "$", sealed_rejection(keys).body_ciphertext
            )
            for each in (stored, erased, other)
        ]
        loaded = loader.load([], late, keys)
    assert isinstance(loaded, Loaded)
    assert loaded.rejection_ids == {other.record_id}
