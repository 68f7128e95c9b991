"""Rotations of token keys: one pending generation at a time, and no number is used twice."""

from __future__ import annotations

import dataclasses

import pytest

from tests.kit.bench import Bench
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import Writer, cut_over_request, writer
from tests.rotation.begun import begin_data, begin_tokens, claimed, generations, scattered, states
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.records.fenced_writes import KeysChanged
from vault_etl.rotation.ranges import RotationStep


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys."""
    return writer(bench)


def test_beginning_makes_a_generation_pending(bench: Bench, process: Writer) -> None:
    """The active generation stays, and its keys are the old keys; from then on the fence requires both generations."""
    active = {key.key_id for key in bench.keys.token_keys()}
    begun = begin_tokens(bench)
    assert begun.old_keys == active
    assert not begun.retired
    assert not begun.resumed
    assert begun.fields == bench.declaration.field_names
    assert generations(bench) == {(1, KeyState.ACTIVE), (2, KeyState.PENDING)}
    load = bench.loader.load
    assert load([process.record()], [], process.write_keys(1)) == KeysChanged()
    row = process.record(next_tokens=process.tokens(), next_token_generation=2)
    assert load([row], [], process.write_keys(1, 2)) != KeysChanged()


def test_another_beginning_of_tokens_stores_no_key(bench: Bench, process: Writer) -> None:
    """The second call continues with the pending generation and its ranges."""
    process.load(process.record())
    begun = begin_tokens(bench, slices=2)
    pending = bench.keys.token_keys()
    again = begin_tokens(bench, 3, slices=5)
    assert again == dataclasses.replace(begun, resumed=True)
    assert bench.keys.token_keys() == pending


def test_rows_that_were_skipped_are_gone_through_again(bench: Bench, process: Writer) -> None:
    """The next beginning after every range is done resets the ranges; not while other workers are active."""
    scattered(process)
    begun = begin_tokens(bench, slices=4)
    cut = [held for held, _ in bench.ranges(begun.rotation_id)]
    claims = claimed(bench, begun)
    for claim, held in claims[:-1]:
        bench.reencrypter.replace([], [], RotationStep(claim, held, held.last, is_done=True))
    before = bench.ranges(begun.rotation_id)
    begin_tokens(bench, 3)
    assert bench.ranges(begun.rotation_id) == before
    claim, held = claims[-1]
    bench.reencrypter.replace([], [], RotationStep(claim, held, held.last, is_done=True))
    assert bench.claims.unfinished(begun.rotation_id).ranges == 0
    begin_tokens(bench, 3)
    assert bench.ranges(begun.rotation_id) == [(held, False) for held in cut]
    assert [held for _, held in claimed(bench, begun)] == cut


def test_a_pending_generation_without_a_rotation_is_continued(
    bench: Bench, process: Writer
) -> None:
    """The state after an operator ended the rotation by hand: no second generation becomes pending."""
    process.load(process.record())
    bench.pending(bench.token_keys(2))
    begun = bench.token_rotations.begin(rotate_request(), [], 1)
    assert not begun.resumed
    assert generations(bench) == {(1, KeyState.ACTIVE), (2, KeyState.PENDING)}
    assert len(bench.ranges(begun.rotation_id)) == 1


def test_a_generation_that_was_aborted_meanwhile_is_not_continued(
    bench: Bench, process: Writer
) -> None:
    """A process without new keys, which saw a pending generation and finds it gone, begins no rotation."""
    del process
    with pytest.raises(IncompleteError):
        bench.token_rotations.begin(rotate_request(), [], 1)
    assert bench.rotations.open(KeyPurpose.TOKEN) is None
    assert not begin_tokens(bench).resumed


def test_no_rotation_begins_while_an_old_generation_is_kept(bench: Bench, process: Writer) -> None:
    """Its tokens are stored in next_*: the error names a key to destroy."""
    process.load(process.record())
    begin_tokens(bench)
    bench.cut_over.cut_over(cut_over_request(), 2)
    old = sorted(u.key.key_id for u in bench.keys.usage() if u.key.state is KeyState.DECRYPT_ONLY)
    with pytest.raises(ConfigurationError) as refused:
        begin_tokens(bench, 3)
    assert f"keys destroy {old[0]}" in str(refused.value.hint)
    assert bench.rotations.open(KeyPurpose.TOKEN) is None
    assert generations(bench) == {(2, KeyState.ACTIVE)}


def test_aborting_destroys_the_pending_keys(bench: Bench, process: Writer) -> None:
    """The abort ends the rotation; the active generation is as it was."""
    process.load(process.record())
    before = bench.keys.token_keys()
    begun = begin_tokens(bench)
    pending = {k.key_id for k in bench.keys.token_keys()} - {k.key_id for k in before}
    assert bench.token_rotations.abort(rotate_request()) == sorted(pending)
    assert states(bench, frozenset(pending)) == {KeyState.DESTROYED}
    assert bench.keys.token_keys() == before
    assert bench.rotations.open(KeyPurpose.TOKEN) is None
    assert bench.ranges(begun.rotation_id) == []


def test_an_abort_without_a_pending_generation_destroys_no_key(
    bench: Bench, process: Writer
) -> None:
    """A rotation of data keys stays open."""
    del process
    begin_data(bench)
    assert bench.token_rotations.abort(rotate_request()) == []
    assert generations(bench) == {(1, KeyState.ACTIVE)}
    assert bench.rotations.open(KeyPurpose.DATA) is not None


def test_no_number_of_a_generation_is_used_twice(bench: Bench, process: Writer) -> None:
    """Neither an abort nor a cut-over frees a number."""
    del process
    assert bench.token_rotations.next_generation() == 2
    begin_tokens(bench)
    assert bench.token_rotations.next_generation() == 3
    bench.token_rotations.abort(rotate_request())
    assert bench.token_rotations.next_generation() == 3
    begin_tokens(bench, 3)
    bench.cut_over.cut_over(cut_over_request(), 3)
    assert bench.token_rotations.next_generation() == 4
