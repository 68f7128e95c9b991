"""The cut-over to a new generation of tokens: at once, once, and on the record."""

from __future__ import annotations

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import IP
from tests.kit.fakes.vault import find_request
from tests.kit.rows import Writer, cut_over_request, writer
from tests.kit.stored_rows import GENERATIONS, personal_columns
from tests.kit.token_rows import (
    fill,
    leave_out,
    next_of,
    pending_behind,
)
from vault_etl.audit.entries import Action
from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.erase.erase import RecordTarget
from vault_etl.records.messages import SealedRecord
from vault_etl.rotation.token_keys import CutOverDone


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys; generation 2 is not pending yet."""
    return writer(bench)


@pytest.fixture
def rows(process: Writer) -> list[SealedRecord]:
    """Six records of generation 1, in their order, while generation 2 is pending."""
    return pending_behind(process, [process.record() for _ in range(6)])


def test_a_cut_over_swaps_tokens_and_generations(bench: Bench, rows: list[SealedRecord]) -> None:
    """Every row changes, erased and left out rows too; no other column changes."""
    bench.erase(rows[0].record_id, IP)
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[1].record_id))
    fill(bench)
    leave_out(bench, rows[2].record_id)
    before = bench.records()
    assert isinstance(bench.cut_over.cut_over(cut_over_request(), 2), CutOverDone)
    values = bench.event.personal
    swaps = [*((value.token, value.next_token) for value in values), GENERATIONS]
    others = dict((*swaps, *(names[::-1] for names in swaps)))
    assert bench.records() == {
        i: {name: row[others.get(name, name)] for name in row} for i, row in before.items()
    }


def test_a_cut_over_changes_the_states(bench: Bench, rows: list[SealedRecord]) -> None:
    """Active, decrypt_only, and no open rotation; batches of the old generation are refused."""
    assert rows
    fill(bench)
    bench.cut_over.cut_over(cut_over_request(), 2)
    states = {u.key.generation: u.key.state for u in bench.keys.usage() if u.key.generation}
    assert states == {1: KeyState.DECRYPT_ONLY, 2: KeyState.ACTIVE}
    assert bench.rotations.open(KeyPurpose.TOKEN) is None
    used = {u.key.generation: u.rows for u in bench.keys.usage() if u.key.generation}
    assert used == {1: 6, 2: 6}


def test_a_cut_over_is_on_the_record(bench: Bench, rows: list[SealedRecord]) -> None:
    """The log has an intent and an outcome, and the head of the log is the outcome."""
    assert rows
    request = cut_over_request(*bench.declaration.field_names)
    swapped = bench.cut_over.cut_over(request, 2)
    assert isinstance(swapped, CutOverDone)
    assert swapped.held_ms > 0
    entries = [e for e in bench.reader.entries() if e.request_id == request.request_id]
    assert [(e.phase, e.decision) for e in entries] == [("intent", "allowed"), ("outcome", "done")]
    for entry in entries:
        assert (entry.action, entry.actor, entry.host) == (
            Action.KEYS_CUT_OVER,
            request.actor,
            request.host,
        )
        assert (entry.reason, set(entry.fields)) == (request.reason, set(request.fields))
    assert (swapped.head.seq, swapped.head.hash) == (entries[-1].seq, entries[-1].hash)


@pytest.mark.parametrize("generation", [1, 3])
def test_a_generation_that_is_not_pending_is_not_cut_over_to(
    bench: Bench, rows: list[SealedRecord], generation: int
) -> None:
    """The active generation, or an unknown one: no state changes, and no entry is written."""
    assert rows
    fill(bench)
    before = bench.records(), bench.keys.token_keys(), list(bench.reader.entries())
    with pytest.raises(IncompleteError):
        bench.cut_over.cut_over(cut_over_request(), generation)
    assert (bench.records(), bench.keys.token_keys(), list(bench.reader.entries())) == before
    assert bench.rotations.open(KeyPurpose.TOKEN) is not None


def test_a_cut_over_is_made_once(bench: Bench, rows: list[SealedRecord]) -> None:
    """The second caller is told that the generation is not pending."""
    assert rows
    fill(bench)
    bench.cut_over.cut_over(cut_over_request(), 2)
    before = bench.records()
    with pytest.raises(IncompleteError):
        bench.cut_over.cut_over(cut_over_request(), 2)
    assert bench.records() == before


def test_a_record_can_be_erased_after_a_cut_over(bench: Bench, rows: list[SealedRecord]) -> None:
    """Old tokens in next_* are erased too."""
    fill(bench)
    bench.cut_over.cut_over(cut_over_request(), 2)
    bench.eraser.erase(cut_over_request(), RecordTarget(rows[0].record_id))
    row = bench.records()[rows[0].record_id]
    assert {row[name] for name in personal_columns(bench.event)} == {None}


@pytest.mark.parametrize("field", ["ip", "other"], indirect=True)
def test_both_tokens_find_their_record_before_and_after(
    bench: Bench, rows: list[SealedRecord], field: FieldName
) -> None:
    """A caller who still has the old token finds the record too."""
    fill(bench)
    old = rows[0].tokens[field]
    for _ in range(2):
        for token in (old, next_of(old)):
            (found,) = bench.finder.holding(bench.audit.intend(find_request(field)), [token], 10)
            assert [holder.record_id for holder in found.newest] == [rows[0].record_id]
        if bench.rotations.open(KeyPurpose.TOKEN) is not None:
            bench.cut_over.cut_over(cut_over_request(), 2)
