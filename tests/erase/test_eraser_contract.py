"""The eraser: every token, every ciphertext, and nothing else; on the record, or not at all."""

from __future__ import annotations

import uuid

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import FIELDS, PERSONAL_FIELDS
from tests.kit.requests import request
from tests.kit.rows import Writer, writer
from tests.kit.stored_rows import personal_columns
from vault_etl.audit.entries import Action
from vault_etl.audit.log import AuditEntry
from vault_etl.erase.erase import Erasable, RecordTarget, Target, UserTarget

NOTHING = (None,) * 8
"""Two tokens, their next ones, two ciphertexts, and the generations of both."""

UNKNOWN: list[Target] = [RecordTarget(uuid.UUID(int=1)), UserTarget("nobody")]


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process that may load."""
    return writer(bench)


def with_next(process: Writer, **changes: object) -> uuid.UUID:
    """A stored record that has tokens of two generations; its id."""
    tokens = {field: uuid.uuid4() for field in PERSONAL_FIELDS}
    record = process.record(next_tokens=tokens, next_token_generation=2, **changes)
    process.load(record)
    return record.record_id


def erased_columns(bench: Bench, record_id: uuid.UUID) -> tuple[object, ...]:
    """The values of a row that an erasure removes."""
    row = bench.records()[record_id]
    return tuple(row[name] for name in personal_columns(bench.event))


def test_every_token_and_ciphertext_of_a_record_goes(process: Writer) -> None:
    """Both generations' tokens, both ciphertexts and the generations are NULL; plain columns stay."""
    record_id = with_next(process)
    before = process.bench.records()[record_id]
    assert None not in erased_columns(process.bench, record_id)
    erasure = process.bench.eraser.erase(request(record_id=record_id), RecordTarget(record_id))
    assert erasure is not None
    assert (erasure.records, erasure.bodies) == (1, 0)
    after = process.bench.records()[record_id]
    assert after == {**before, **dict.fromkeys(personal_columns(process.bench.event))}


def test_a_preview_counts_and_changes_nothing(process: Writer) -> None:
    """What it says is what an erasure then takes away."""
    record_id = with_next(process)
    before = process.bench.records()
    assert process.bench.eraser.preview(RecordTarget(record_id)) == Erasable(1, 0)
    assert process.bench.records() == before
    assert entries(process) == []


def test_all_records_of_a_user_go_and_nobody_elses(process: Writer) -> None:
    """The user id is matched exactly: another case, spaces and patterns are other users."""
    mine = [with_next(process, user_id="a%") for _ in range(3)]
    others = [with_next(process, user_id=other) for other in ("A%", "a%%", "a", " a%")]
    before = process.bench.records()
    assert process.bench.eraser.preview(UserTarget("a%")) == Erasable(3, 0)
    erasure = process.bench.eraser.erase(request(), UserTarget("a%"))
    assert erasure is not None
    assert (erasure.records, erasure.bodies) == (3, 0)
    assert {erased_columns(process.bench, record_id) for record_id in mine} == {NOTHING}
    after = process.bench.records()
    assert [after[record_id] for record_id in others] == [before[record_id] for record_id in others]


def test_a_quarantined_body_goes_by_its_id(process: Writer) -> None:
    """Its body is NULL; why and where it was quarantined stays, and so do other bodies."""
    mine, other = process.rejection(), process.rejection()
    process.load(mine, other)
    assert process.bench.eraser.preview(RecordTarget(mine.record_id)) == Erasable(0, 1)
    asked = request(record_id=mine.record_id, fields=FIELDS)
    erasure = process.bench.eraser.erase(asked, RecordTarget(mine.record_id))
    assert erasure is not None
    assert (erasure.records, erasure.bodies) == (0, 1)
    left = process.bench.rejections()
    assert left[mine.record_id] == (mine.reason.value, mine.path, None)
    assert left[other.record_id][2] == other.body_ciphertext


def test_a_second_time_takes_nothing_away_and_is_on_the_record(process: Writer) -> None:
    """It is no failure, counts nothing, and gets entries of its own."""
    record_id = with_next(process)
    target = RecordTarget(record_id)
    first = process.bench.eraser.erase(request(record_id=record_id), target)
    assert process.bench.eraser.preview(target) == Erasable(0, 0)
    second = process.bench.eraser.erase(request(record_id=record_id), target)
    assert first is not None
    assert second is not None
    assert (second.records, second.bodies) == (0, 0)
    assert second.seq == first.seq + 2


@pytest.mark.parametrize("target", UNKNOWN, ids=["record", "user"])
def test_what_is_not_there_is_not_erased(process: Writer, target: Target) -> None:
    """None, nothing is changed, and there is no entry."""
    with_next(process)
    before = process.bench.records()
    assert process.bench.eraser.preview(target) is None
    assert process.bench.eraser.erase(request(), target) is None
    assert process.bench.records() == before
    assert entries(process) == []


def test_it_is_on_the_record_as_an_intent_and_an_outcome(process: Writer) -> None:
    """Who, why and which record; the outcome's seq, hash and time are those that come back."""
    record_id = with_next(process)
    asked = request(record_id=record_id, fields=FIELDS)
    erasure = process.bench.eraser.erase(asked, RecordTarget(record_id))
    intent, outcome = entries(process)
    assert erasure is not None
    assert (outcome.seq, outcome.hash, outcome.logged_at) == (
        erasure.seq,
        erasure.hash,
        erasure.erased_at,
    )
    assert [(e.phase, e.decision) for e in (intent, outcome)] == [
        ("intent", "allowed"),
        ("outcome", "done"),
    ]
    assert intent.reason == asked.reason
    for entry in (intent, outcome):
        assert (entry.action, entry.request_id, entry.record_id) == (
            "erase",
            asked.request_id,
            record_id,
        )
        assert (entry.actor, entry.host, entry.ticket) == (asked.actor, asked.host, asked.ticket)
        assert sorted(entry.fields) == ["device_id", "ip", "quarantine"]


def test_the_entries_do_not_name_the_user(process: Writer) -> None:
    """Who is forgotten does not stand in a log that is kept for good."""
    with_next(process, user_id="user-who-asked")
    process.bench.eraser.erase(request(), UserTarget("user-who-asked"))
    for entry in process.bench.reader.entries():
        assert "user-who-asked" not in str(entry)
        assert entry.record_id is None
        assert sorted(entry.fields) == ["device_id", "ip"]


def entries(process: Writer) -> list[AuditEntry]:
    """Those about erasures: the keys that were made before have entries too."""
    return [entry for entry in process.bench.reader.entries() if entry.action == Action.ERASE]
