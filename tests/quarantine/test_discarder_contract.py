"""The discarder: what matches goes, the oldest first, with its two entries, or nothing does."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid

import pytest

from tests.kit.bench import Bench
from tests.kit.requests import request
from tests.kit.rows import Writer, writer
from tests.quarantine.kinds import NOT_ADDRESS, NOT_JSON, NULL_USER, listed, quarantine
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import AuditEntry
from vault_etl.base.errors import VaultEtlError
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.quarantine.discard import MatchingMessages
from vault_etl.quarantine.read import EVERY_ROW, QuarantineFilter

NOTHING = MatchingMessages(0, None, None)


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process that may load."""
    return writer(bench)


def asked() -> AuditRequest:
    """A request to discard."""
    return request(action=Action.QUARANTINE_DISCARD, fields=(QUARANTINE,))


def entries(bench: Bench) -> list[AuditEntry]:
    """Return the entries about discards."""
    return [e for e in bench.reader.entries() if e.action == Action.QUARANTINE_DISCARD]


def until(bench: Bench) -> QuarantineFilter:
    """Everything up to now and a little more: the clocks of a fake and of a server."""
    return QuarantineFilter(until=bench.now() + dt.timedelta(hours=1))


def test_what_matches_goes_and_all_else_stays(bench: Bench, process: Writer) -> None:
    """By its reason; as many as were counted, and with the times of the first and the last of them."""
    rows = quarantine(process, NOT_JSON, NULL_USER, NOT_JSON, NOT_ADDRESS)
    wanted = QuarantineFilter(reason_code="not_json")
    before = listed(bench, reason_code="not_json")
    oldest, newest = before[0].quarantined_at, before[-1].quarantined_at
    assert bench.discarder.matching(wanted, None) == MatchingMessages(2, oldest, newest)
    done = bench.discarder.discard(asked(), wanted, None)
    assert done is not None
    assert (done.messages, done.newest) == (2, newest)
    assert set(bench.rejections()) == {rows[1].record_id, rows[3].record_id}
    assert bench.discarder.matching(wanted, None) == NOTHING


def test_it_is_on_the_record(bench: Bench, process: Writer) -> None:
    """The intent with the reason that was given, the outcome with the count; its hash is the head that is returned."""
    quarantine(process, NOT_JSON, NOT_JSON)
    why = asked()
    done = bench.discarder.discard(why, until(bench), None)
    assert done is not None
    intent, outcome = entries(bench)
    assert (intent.phase, intent.reason, intent.decision) == ("intent", why.reason, "allowed")
    assert (outcome.phase, outcome.decision) == ("outcome", "done")
    assert outcome.reason.startswith("discarded messages: 2")
    assert {entry.fields for entry in (intent, outcome)} == {("quarantine",)}
    assert {(e.ticket, e.request_id, e.record_id) for e in (intent, outcome)} == {
        (why.ticket, why.request_id, None)
    }
    assert (done.head.seq, done.head.hash) == (outcome.seq, outcome.hash)


def test_one_that_goes_alone_is_named(bench: Bench, process: Writer) -> None:
    """Whichever ids were asked for."""
    row, _ = quarantine(process, NOT_JSON, NOT_JSON)
    ids = [row.record_id, row.record_id, uuid.uuid4()]
    assert bench.discarder.matching(EVERY_ROW, ids).messages == 1
    done = bench.discarder.discard(asked(), EVERY_ROW, ids)
    assert done is not None
    assert {entry.record_id for entry in entries(bench)} == {row.record_id}
    assert len(bench.rejections()) == 1


def test_nothing_that_matches_is_no_entry(bench: Bench, process: Writer) -> None:
    """Neither of another time, nor of another id; nothing is deleted."""
    quarantine(process, NOT_JSON)
    before = QuarantineFilter(until=bench.now() - dt.timedelta(hours=1))
    assert bench.discarder.discard(asked(), before, None) is None
    assert bench.discarder.discard(asked(), EVERY_ROW, [uuid.uuid4()]) is None
    assert len(bench.rejections()) == 1
    assert entries(bench) == []


def test_times_and_sources_are_filters(bench: Bench, process: Writer) -> None:
    """`since` is included and `until` is not; a source is a file's id, or the queue."""
    source = uuid.uuid4()
    process.load(dataclasses.replace(process.rejection(), source_id=source))
    quarantine(process, NOT_JSON, NOT_JSON)
    middle = listed(bench)[1].quarantined_at
    expected = {
        QuarantineFilter(since=middle): [r for r in listed(bench) if r.quarantined_at >= middle],
        QuarantineFilter(until=middle): [r for r in listed(bench) if r.quarantined_at < middle],
        QuarantineFilter(source=str(source)): [r for r in listed(bench) if r.source_id == source],
        QuarantineFilter(source="queue"): [r for r in listed(bench) if r.source_id is None],
    }
    for wanted, rows in expected.items():
        assert bench.discarder.matching(wanted, None).messages == len(rows)
        assert list(bench.quarantine.rows(wanted)) == rows
    done = bench.discarder.discard(asked(), QuarantineFilter(source="queue"), None)
    assert done is not None
    assert [row.source_id for row in listed(bench)] == [source]


def test_an_age_is_by_the_databases_clock(bench: Bench, process: Writer) -> None:
    """Older messages are counted whatever the clock of the command says, and no others are discarded."""
    quarantine(process, NOT_JSON)
    day, less = (QuarantineFilter(older_than=dt.timedelta(days=days)) for days in (1, -1))
    found = bench.discarder.matching(day, None)
    assert found.messages == 0
    assert found.until is not None
    counted = QuarantineFilter(until=found.until)
    assert bench.discarder.discard(asked(), counted, None) is None
    found = bench.discarder.matching(less, None)
    assert (found.messages, found.until is None) == (1, False)
    done = bench.discarder.discard(asked(), QuarantineFilter(until=found.until), None)
    assert done is not None
    assert done.messages == 1


def test_erased_messages_stay(bench: Bench, process: Writer) -> None:
    """An erased message does not count, and its row stays without a body."""
    erased, _ = quarantine(process, NOT_JSON, NOT_JSON)
    bench.erase(erased.record_id, QUARANTINE)
    assert bench.discarder.matching(until(bench), None).messages == 1
    done = bench.discarder.discard(asked(), until(bench), None)
    assert done is not None
    assert done.messages == 1
    assert bench.discarder.discard(asked(), EVERY_ROW, [erased.record_id]) is None
    assert bench.rejections() == {erased.record_id: (*NOT_JSON, None)}


def test_a_request_that_has_its_entry_discards_nothing_more(bench: Bench, process: Writer) -> None:
    """Each batch is a request of its own."""
    quarantine(process, NOT_JSON)
    once = asked()
    assert bench.discarder.discard(once, until(bench), None) is not None
    quarantine(process, NOT_JSON)
    with pytest.raises(VaultEtlError):
        bench.discarder.discard(once, until(bench), None)
    assert len(bench.rejections()) == 1
