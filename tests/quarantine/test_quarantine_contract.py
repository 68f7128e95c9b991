"""Quarantine: listed without a body, and left in one transaction behind the fence, or not at all."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import FIELDS, IP, PERSONAL_FIELDS
from tests.kit.fakes.vault import reveal_request
from tests.kit.key_changes import CHANGES
from tests.kit.new_keys import token_keys
from tests.kit.rows import Writer, writer
from tests.kit.scratch import ciphertext
from tests.kit.stored_rows import columns
from tests.kit.swaps import outside
from tests.quarantine.kinds import NOT_ADDRESS, NOT_JSON, NULL_USER, listed, quarantine
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.opening import DisclosedValue
from vault_etl.base.errors import DeniedError
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, FieldName
from vault_etl.event.rejection import Reason
from vault_etl.quarantine.mover import Moved, RestoredMessage
from vault_etl.quarantine.read import EVERY_BODY, QuarantinedBody, QuarantineFilter, RetryFilter
from vault_etl.records.fenced_writes import KeysChanged, RowsRefused
from vault_etl.records.messages import SealedRejection
from vault_etl.rotation.ranges import Swap
from vault_etl.rotation.reencrypt import Replacement, SealedRow


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys."""
    return writer(bench)


def some(process: Writer, count: int) -> list[SealedRejection]:
    """Return this number of quarantined messages, in the order of their record ids."""
    rows = quarantine(process, *[(Reason.NOT_AN_ADDRESS, "$.ip")] * count)
    return sorted(rows, key=lambda row: row.record_id)


def value(row: SealedRejection) -> QuarantinedBody:
    """The body as it is read."""
    return QuarantinedBody(row.record_id, row.body_ciphertext, row.source_id)


def restore(process: Writer, row: SealedRejection, **changes: object) -> RestoredMessage:
    """Return the row with the record made from it, changed as given."""
    record = process.retry().record(**{"record_id": row.record_id, **changes})
    return RestoredMessage(value(row), record)


NULL_DEVICE = (Reason.FIELD_NULL, "$.device_id")


def test_a_row_has_how_often_its_message_was_received(bench: Bench, process: Writer) -> None:
    """A high count says that the message alone is not at fault."""
    process.load(dataclasses.replace(process.rejection(), receive_count=4))
    assert [row.receive_count for row in listed(bench)] == [4]


def test_rows_are_listed_with_reason_path_and_time(bench: Bench, process: Writer) -> None:
    """The newest last, those of one time in the order of their ids."""
    rows = {row.record_id: row for row in quarantine(process, NOT_JSON, NOT_ADDRESS, NULL_USER)}
    found = listed(bench)
    assert [(row.quarantined_at, row.record_id) for row in found] == sorted(
        (row.quarantined_at, row.record_id) for row in found
    )
    assert {row.record_id: (row.reason_code, row.path) for row in found} == {
        record_id: (row.reason.value, row.path) for record_id, row in rows.items()
    }
    for row in found:
        assert abs(row.quarantined_at - bench.now()) < dt.timedelta(minutes=1)


def test_rows_can_be_filtered(bench: Bench, process: Writer) -> None:
    """By reason, and by when they were quarantined."""
    quarantine(process, NOT_JSON, NOT_ADDRESS, NOT_JSON, NULL_USER)
    every = listed(bench)
    not_json = [row for row in every if row.reason_code == "not_json"]
    assert listed(bench, reason_code="not_json") == not_json
    assert listed(bench, reason_code="of a later version") == []
    middle = every[2].quarantined_at
    assert listed(bench, since=middle) == [r for r in every if r.quarantined_at >= middle]
    assert listed(bench, since=bench.now() + dt.timedelta(hours=1)) == []


@pytest.mark.parametrize("limit", [1, 2, 4, 5, 2**31 - 1])
def test_a_limit_keeps_the_newest(bench: Bench, process: Writer, limit: int) -> None:
    """Of those that pass the filters, the newest still last."""
    quarantine(process, NULL_USER, NOT_JSON, NOT_JSON, NULL_USER, NOT_JSON, NOT_JSON)
    assert listed(bench, limit=limit) == listed(bench)[-limit:]
    not_json = listed(bench, reason_code="not_json")
    assert listed(bench, reason_code="not_json", limit=limit) == not_json[-limit:]


def test_rows_are_counted_by_reason_and_path(bench: Bench, process: Writer) -> None:
    """The most frequent first; with the times of the first and the newest of them."""
    quarantine(process, NULL_USER, NULL_DEVICE, NOT_JSON, NULL_USER)
    rows = listed(bench)
    newest = {(row.reason_code, row.path): row.quarantined_at for row in rows}
    oldest = {(row.reason_code, row.path): row.quarantined_at for row in reversed(rows)}
    expected = [
        ("field_null", "$.user_id", 2),
        ("field_null", "$.device_id", 1),
        ("not_json", "$", 1),
    ]
    counts = list(bench.quarantine.counts())
    assert [(c.reason_code, c.path, c.count) for c in counts] == expected
    for each in counts:
        kind = (each.reason_code, each.path)
        assert (each.oldest, each.newest) == (oldest[kind], newest[kind])
        assert (each.source_id, each.today + each.yesterday) == (None, each.count)
    (only,) = bench.quarantine.counts(QuarantineFilter(reason_code="not_json"))
    assert only.count == 1
    later = QuarantineFilter(since=bench.now() + dt.timedelta(hours=1))
    assert list(bench.quarantine.counts(later)) == []


def test_one_row_is_read_by_its_id(bench: Bench, process: Writer) -> None:
    """A row without its body is returned as well; an unknown id gives None."""
    (row,) = quarantine(process, NULL_USER)
    assert bench.quarantine.row(row.record_id) == listed(bench)[0]
    bench.erase(row.record_id, QUARANTINE)
    assert bench.quarantine.row(row.record_id) == listed(bench)[0]
    assert bench.quarantine.row(uuid.UUID(int=4711)) is None


def show(record_id: uuid.UUID, *fields: FieldName) -> AuditRequest:
    """A request to show a quarantined message."""
    asked = reveal_request(record_id, *fields or (QUARANTINE,))
    return dataclasses.replace(asked, action=Action.QUARANTINE_SHOW)


def test_a_body_is_disclosed_against_an_intent_to_show_it(bench: Bench, process: Writer) -> None:
    """The body is disclosed once, byte for byte, and only to an intent that names quarantine."""
    (row,) = quarantine(process, NOT_JSON)
    receipt = bench.audit.intend(show(row.record_id))
    assert bench.disclosed.disclose(receipt) == {
        QUARANTINE: DisclosedValue(QUARANTINE_TABLE, QUARANTINE, row.body_ciphertext)
    }
    with pytest.raises(DeniedError):
        bench.disclosed.disclose(receipt)
    assert bench.disclosed.disclose(bench.audit.intend(show(row.record_id, IP))) == {}


def test_no_body_is_disclosed_without_a_quarantined_message(bench: Bench, process: Writer) -> None:
    """An erased body is None. A record's id, and an unknown id, disclose no field."""
    (row,) = quarantine(process, NOT_JSON)
    bench.erase(row.record_id, QUARANTINE)
    record = process.record()
    process.load(record)
    erased = bench.disclosed.disclose(bench.audit.intend(show(row.record_id)))
    assert erased == {QUARANTINE: DisclosedValue(QUARANTINE_TABLE, QUARANTINE, None)}
    for record_id in (record.record_id, uuid.UUID(int=4711)):
        assert bench.disclosed.disclose(bench.audit.intend(show(record_id))) == {}


def test_a_reveal_discloses_no_body(bench: Bench, process: Writer) -> None:
    """A reveal with any fields would have another action in the log."""
    (row,) = quarantine(process, NOT_JSON)
    receipt = bench.audit.intend(reveal_request(row.record_id, *FIELDS))
    assert bench.disclosed.disclose(receipt) == {}


def test_bodies_are_read_page_after_page(bench: Bench, process: Writer) -> None:
    """In the order of their record ids, each once, and then an empty page."""
    rows = some(process, 5)
    seen: list[QuarantinedBody] = []
    after: uuid.UUID | None = None
    while page := bench.mover.bodies(EVERY_BODY, after, 2):
        assert len(page) <= 2
        seen += page
        after = page[-1].record_id
    assert seen == [value(row) for row in rows]


def test_only_the_wanted_bodies_are_read(bench: Bench, process: Writer) -> None:
    """By their ids; what is not there, or erased, is left out."""
    rows = some(process, 4)
    bench.erase(rows[1].record_id, QUARANTINE)
    wanted = [rows[3].record_id, rows[1].record_id, rows[0].record_id, uuid.UUID(int=4711)]
    assert list(bench.mover.bodies(RetryFilter(wanted), None, 10)) == [
        value(rows[0]),
        value(rows[3]),
    ]
    assert list(bench.mover.bodies(RetryFilter(wanted), rows[0].record_id, 10)) == [value(rows[3])]
    assert list(bench.mover.bodies(RetryFilter([]), None, 10)) == []
    assert len(bench.mover.bodies(EVERY_BODY, None, 10)) == 3


def test_a_body_moves_and_takes_its_row_with_it(bench: Bench, process: Writer) -> None:
    """The record is stored as it was given; every other row of quarantine stays."""
    rows = some(process, 3)
    releases = [restore(process, row) for row in rows[:2]]
    result = bench.mover.move(releases, process.write_keys())
    assert result == Moved(frozenset(row.record_id for row in rows[:2]))
    assert bench.records() == {r.record.record_id: columns(r.record) for r in releases}
    assert set(bench.rejections()) == {rows[2].record_id}


def test_next_tokens_are_stored_while_a_generation_is_pending(
    bench: Bench, process: Writer
) -> None:
    """Otherwise the backfill would miss the row."""
    (row,) = some(process, 1)
    bench.pending(token_keys(2))
    tokens = {field: uuid.uuid4() for field in PERSONAL_FIELDS}
    moved = restore(process, row, next_tokens=tokens, next_token_generation=2)
    assert isinstance(bench.mover.move([moved], process.write_keys(1, 2)), Moved)
    assert bench.records() == {row.record_id: columns(moved.record)}


def erased(process: Writer, row: SealedRejection) -> None:
    """Somebody erased the body."""
    process.bench.erase(row.record_id, QUARANTINE)


def reencrypted(process: Writer, row: SealedRejection) -> None:
    """Return the body as a rotation re-encrypts it."""
    key = process.bench.new_key(QUARANTINE)
    old = SealedRow(QUARANTINE_TABLE, row.record_id, "", {QUARANTINE: row.body_ciphertext})
    again = Replacement(old, {QUARANTINE: ciphertext(key.key_id)})
    swap = process.bench.reencrypter.replace([again], [key], outside(QUARANTINE_TABLE))
    assert swap == Swap(1, 1)


def moved_before(process: Writer, row: SealedRejection) -> None:
    """Another retry was faster."""
    moved = [restore(process, row)]
    assert isinstance(process.bench.mover.move(moved, process.write_keys()), Moved)


@pytest.mark.parametrize("change", [erased, reencrypted, moved_before])
def test_a_body_that_changed_since_it_was_read_stays(
    bench: Bench, process: Writer, change: Callable[[Writer, SealedRejection], None]
) -> None:
    """The record is not stored; the others of the batch move."""
    changed, same = some(process, 2)
    change(process, changed)
    rejections, records = bench.rejections(), bench.records()
    ours = [restore(process, row, user_id="ours") for row in (changed, same)]
    result = bench.mover.move(ours, process.write_keys())
    assert result == Moved(frozenset({same.record_id}))
    del rejections[same.record_id]
    assert bench.rejections() == rejections
    assert bench.records() == records | {same.record_id: columns(ours[1].record)}


def test_a_record_that_is_there_already_stays_as_it_was(bench: Bench, process: Writer) -> None:
    """A redelivered copy was loaded under newer rules: the row goes, and nothing is written over."""
    (row,) = some(process, 1)
    loaded = process.record(record_id=row.record_id, user_id="redelivered")
    process.load(loaded)
    bench.erase(row.record_id, IP)
    before = bench.records()
    result = bench.mover.move([restore(process, row)], process.write_keys())
    assert result == Moved(frozenset({row.record_id}))
    assert bench.records() == before
    assert bench.rejections() == {}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_the_fence_refuses_keys_that_are_not_current(
    bench: Bench, process: Writer, change: Callable[..., object]
) -> None:
    """No message moves, and the mover can continue."""
    (row,) = some(process, 1)
    before = bench.rejections()
    assert bench.mover.move([restore(process, row)], change(process)) == KeysChanged()  # type: ignore[arg-type]
    assert (bench.records(), bench.rejections()) == ({}, before)


def test_a_value_that_the_database_refuses_keeps_the_batch(bench: Bench, process: Writer) -> None:
    """No row is named, nothing of the batch moves, and the mover can go on."""
    good, bad = some(process, 2)
    before = bench.rejections()
    batch = [restore(process, good), restore(process, bad, user_id="u" * 129)]
    assert bench.mover.move(batch, process.write_keys()) == RowsRefused("23514")
    assert (bench.records(), bench.rejections()) == ({}, before)
    assert bench.mover.move(batch[:1], process.write_keys()) == Moved(frozenset({good.record_id}))


def test_a_batch_of_which_nothing_is_left_moves_nothing(bench: Bench, process: Writer) -> None:
    """Everything was erased meanwhile: that is no error."""
    rows = some(process, 2)
    for row in rows:
        bench.erase(row.record_id, QUARANTINE)
    moved = bench.mover.move([restore(process, row) for row in rows], process.write_keys())
    assert moved == Moved(frozenset())
    assert bench.records() == {}
    assert len(bench.rejections()) == 2
