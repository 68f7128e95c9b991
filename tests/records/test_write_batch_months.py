"""Months: made when a message needs one and read once a day; a month that cannot be made is not tried again soon."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
from collections.abc import Iterable, Sequence

import pytest

from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.record_loader import FakeRecordLoader
from tests.kit.fakes.vault import FakeVault
from vault_etl.base.errors import IncompleteError, UnavailableError
from vault_etl.base.pii import Pii
from vault_etl.crypto.record_id import MAX_MILLISECONDS, first_millisecond, milliseconds_of
from vault_etl.event.rejection import Reason
from vault_etl.records.fenced_writes import (
    KeysChanged,
    Loaded,
    MonthUnattached,
    RowsRefused,
    WriteKeys,
)
from vault_etl.records.messages import (
    EventMonth,
    Message,
    Outcome,
    RecordRange,
    SealedRecord,
    SealedRejection,
)

DAY_S = 86_400.0
MINUTE_S = 60.0
NUMBERS = itertools.count()


class AskedLoader(FakeRecordLoader):
    """Remembers which months the writer asked for."""

    def __init__(self, vault: FakeVault) -> None:
        super().__init__(vault.database)
        self.asked: list[list[dt.date]] = []
        self.down = False
        self.lost: dict[int, bool] = {}
        self.flickers = False
        self.closed = False

    def lose(self, month: dt.date, *, can_be_made: bool) -> None:
        """Detach or drop the month whose range was found before."""
        first = int(dt.datetime(month.year, month.month, 1, tzinfo=dt.UTC).timestamp() * 1000)
        self.lost[first] = can_be_made

    def prepare_partitions(self, months: Iterable[EventMonth] = ()) -> tuple[RecordRange, ...]:
        """Note the months that are asked for, and make those that can be made."""
        months = sorted(months)
        self.asked.append([month for _, month in months])
        if self.down:
            raise UnavailableError("not there")
        asked = {first_millisecond(month) for _, month in months}
        self.lost = {first: can for first, can in self.lost.items() if not (can and first in asked)}
        found = super().prepare_partitions(months)
        return tuple(
            dataclasses.replace(r, closed=True) if milliseconds_of(r.first) in self.lost else r
            for r in found
            if self.closed or milliseconds_of(r.first) not in self.lost
        )

    def load(
        self,
        records: Sequence[SealedRecord],
        rejections: Sequence[SealedRejection],
        keys: WriteKeys,
    ) -> Loaded | KeysChanged | RowsRefused | MonthUnattached:
        """Load the batch, or return `MonthUnattached` if one of its months is lost."""
        moments = [
            dt.datetime.fromtimestamp(milliseconds_of(r.record_id) / 1000, dt.UTC) for r in records
        ]
        gone = {first_millisecond(moment.date().replace(day=1)) for moment in moments} & set(
            self.lost
        )
        return (
            MonthUnattached() if gone or self.flickers else super().load(records, rejections, keys)
        )


@pytest.fixture
def loader(fake_vault: FakeVault) -> AskedLoader:
    """A loader in the place of the vault's own."""
    fake_vault.loader = AskedLoader(fake_vault)
    return fake_vault.loader


def sent(moment: dt.datetime | int, body: bytes | None = None) -> Message:
    """A message that was sent at this time."""
    ms = moment if isinstance(moment, int) else int(moment.timestamp() * 1000)
    return Message(f"id-{next(NUMBERS)}", "handle", Pii(body or login_event()), ms)


def months_ago(vault: FakeVault, months: int) -> dt.datetime:
    """A moment of that month."""
    now = vault.clock.now()
    number = now.year * 12 + now.month - 1 - months
    return dt.datetime(number // 12, number % 12 + 1, 17, 3, tzinfo=dt.UTC)


def test_a_month_is_made_when_a_message_needs_it(
    fake_vault: FakeVault, loader: AskedLoader
) -> None:
    """A message of half a year ago, from a dead-letter queue or a file, is stored with the rest."""
    writer = fake_vault.writer()
    old = months_ago(fake_vault, 6)
    written = writer.write([sent(fake_vault.clock.now()), sent(old), sent(old)])
    assert written.outcomes == [Outcome.STORED] * 3
    assert loader.asked == [[], [old.date().replace(day=1)]]
    assert writer.write([sent(old)]).outcomes == [Outcome.STORED]
    assert len(loader.asked) == 2


def test_all_months_of_a_batch_are_made_at_once(fake_vault: FakeVault, loader: AskedLoader) -> None:
    """One call makes the months of all messages."""
    moments = [months_ago(fake_vault, months) for months in (5, 6, 7, 5)]
    written = fake_vault.writer().write([sent(moment) for moment in moments])
    assert written.outcomes == [Outcome.STORED] * 4
    assert loader.asked == [[], sorted({moment.date().replace(day=1) for moment in moments})]


@pytest.mark.parametrize("too_far", [25, 300])
def test_a_month_out_of_bounds_is_asked_for_once_a_minute(
    fake_vault: FakeVault, loader: AskedLoader, too_far: int
) -> None:
    """Its messages are quarantined. The bounds move and months are attached again, so the writer asks again."""
    writer = fake_vault.writer()
    for _ in range(3):
        written = writer.write(
            [sent(months_ago(fake_vault, too_far)), sent(fake_vault.clock.now())]
        )
        assert written.outcomes == [Outcome.QUARANTINED, Outcome.STORED]
        assert written.reasons == {Reason.SENT_OUT_OF_RANGE: 1}
    assert [len(months) for months in loader.asked] == [0, 1]
    fake_vault.clock.advance(MINUTE_S)
    writer.write([sent(months_ago(fake_vault, too_far))])
    writer.write([sent(months_ago(fake_vault, too_far))])
    assert [len(months) for months in loader.asked] == [0, 1, 1]


@pytest.mark.parametrize(("made", "outcome"), [(True, "STORED"), (False, "QUARANTINED")])
def test_a_month_that_disappears_is_asked_for_again(
    fake_vault: FakeVault, loader: AskedLoader, made: bool, outcome: str
) -> None:
    """A dropped month is made again; while a month is only detached, its messages are quarantined."""
    writer = fake_vault.writer()
    old, now = months_ago(fake_vault, 6), fake_vault.clock.now()
    assert writer.write([sent(old), sent(now)]).outcomes == [Outcome.STORED] * 2
    loader.lose(old.date(), can_be_made=made)
    assert writer.write([sent(old), sent(now)]).outcomes == [Outcome[outcome], Outcome.STORED]
    loader.lost.clear()
    fake_vault.clock.advance(MINUTE_S)
    assert writer.write([sent(old)]).outcomes == [Outcome.STORED]


def test_a_closed_month_is_reported_as_closed_and_asked_for_once_a_minute(
    fake_vault: FakeVault, loader: AskedLoader
) -> None:
    """A running worker notices a closed month too; a month that opens again accepts rows within a minute."""
    writer = fake_vault.writer()
    now = fake_vault.clock.now()
    assert writer.write([sent(now)]).outcomes == [Outcome.STORED]
    loader.closed = True
    loader.lose(now.date(), can_be_made=False)
    for _ in range(3):
        written = writer.write([sent(now), sent(months_ago(fake_vault, 1))])
        assert written.outcomes == [Outcome.QUARANTINED, Outcome.STORED]
        assert written.reasons == {Reason.MONTH_CLOSED: 1}
    assert [len(months) for months in loader.asked] == [0, 0, 1]
    loader.lost.clear()
    fake_vault.clock.advance(MINUTE_S)
    assert writer.write([sent(now)]).outcomes == [Outcome.STORED]


def test_a_month_that_disappears_repeatedly_is_waited_for(
    fake_vault: FakeVault, loader: AskedLoader
) -> None:
    """The error names no value of the batch; afterwards all rows are stored."""
    writer, batch = fake_vault.writer(), [sent(fake_vault.clock.now())]
    loader.flickers = True
    written = writer.write(batch)
    assert written.outcomes == [Outcome.RETRY]
    assert isinstance(written.cause, IncompleteError)
    loader.flickers = False
    assert writer.write(batch).outcomes == [Outcome.STORED]


def test_a_time_that_no_calendar_has_is_quarantined(
    fake_vault: FakeVault, loader: AskedLoader
) -> None:
    """48 bits of milliseconds reach beyond the year 9999."""
    writer = fake_vault.writer()
    for _ in range(2):
        written = writer.write([sent(MAX_MILLISECONDS), sent(fake_vault.clock.now())])
        assert written.outcomes == [Outcome.QUARANTINED, Outcome.STORED]
    assert loader.asked == [[], [dt.date.max]]


def test_the_months_are_read_once_a_day(fake_vault: FakeVault, loader: AskedLoader) -> None:
    """An ingest that runs for a year therefore always has the months to come."""
    writer = fake_vault.writer()
    for _ in range(400):
        assert writer.write([sent(fake_vault.clock.now())]).outcomes == [Outcome.STORED]
        fake_vault.clock.advance(DAY_S)
    assert loader.asked == [[]] * 400
    fake_vault.clock.advance(-DAY_S / 2)
    writer.write([sent(fake_vault.clock.now())])
    assert len(loader.asked) == 400


def test_a_body_that_is_not_an_event_needs_no_month(
    fake_vault: FakeVault, loader: AskedLoader
) -> None:
    """Quarantine is one table."""
    written = fake_vault.writer().write([sent(months_ago(fake_vault, 6), b"junk")])
    assert written.reasons == {Reason.NOT_JSON: 1}
    assert loader.asked == [[]]


@pytest.mark.parametrize("asked_before", [False, True])
def test_months_that_cannot_be_made_now_are_waited_for(
    fake_vault: FakeVault, loader: AskedLoader, asked_before: bool
) -> None:
    """A missing partition must not quarantine a queue."""
    writer = fake_vault.writer()
    if asked_before:
        writer.prepare()
    loader.down = True
    batch = [sent(fake_vault.clock.now()), sent(months_ago(fake_vault, 6))]
    written = writer.write(batch)
    assert written.outcomes == [Outcome.RETRY] * 2
    assert isinstance(written.cause, UnavailableError)
    assert fake_vault.database.quarantine == {}
    loader.down = False
    assert writer.write(batch).outcomes == [Outcome.STORED] * 2
