"""Rotations of token keys: one pending generation at a time, and no number is used twice."""

from __future__ import annotations

import dataclasses
import uuid

import pytest

from tests.kit.bench import Bench
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import token_keys
from tests.kit.rows import Writer, cut_over_request, writer
from tests.rotation.begun import begin_data, begin_tokens, claimed, generations, scattered, states
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.crypto.fields import PERSONAL_FIELDS, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.records.fenced_writes import KeysChanged
from vault_etl.rotation.ranges import RotationStep


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys."""
    return writer(bench)


def test_beginning_makes_a_generation_pending(bench: Bench, process: Writer) -> None:
    """Beside the active one, whose keys are the old ones; from then on the fence asks for both."""
    active = {key.key_id for key in bench.keys.token_keys()}
    begun = begin_tokens(bench)
    assert begun.old_keys == active
    assert not begun.retired
    assert not begun.resumed
    assert begun.fields == PERSONAL_FIELDS
    assert generations(bench) == {(1, KeyState.ACTIVE), (2, KeyState.PENDING)}
    load = bench.loader.load
    assert load([process.record()], [], process.write_keys(1)) == KeysChanged()
    next_tokens = {field: uuid.uuid4() for field in PERSONAL_FIELDS}
    row = process.record(next_tokens=next_tokens, next_token_generation=2)
    assert load([row], [], process.write_keys(1, 2)) != KeysChanged()


def test_another_beginning_of_tokens_stores_no_key(bench: Bench, process: Writer) -> None:
    """It goes on with the generation that is pending, and with its ranges."""
    process.load(process.record())
    begun = begin_tokens(bench, slices=2)
    pending = bench.keys.token_keys()
    again = begin_tokens(bench, 3, slices=5)
    assert again == dataclasses.replace(begun, resumed=True)
    assert bench.keys.token_keys() == pending


def test_tokens_that_were_passed_over_are_gone_through_again(bench: Bench, process: Writer) -> None:
    """Once every range is done, by who begins anew; not while others are still at work."""
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


def test_a_pending_generation_without_a_rotation_is_gone_on_with(
    bench: Bench, process: Writer
) -> None:
    """As after somebody ended the rotation by hand: no second one becomes pending."""
    process.load(process.record())
    bench.pending(token_keys(2))
    begun = bench.token_rotations.begin(rotate_request(), [], 1)
    assert not begun.resumed
    assert generations(bench) == {(1, KeyState.ACTIVE), (2, KeyState.PENDING)}
    assert len(bench.ranges(begun.rotation_id)) == 1


def test_a_generation_that_was_aborted_meanwhile_is_not_gone_on_with(
    bench: Bench, process: Writer
) -> None:
    """Who comes without keys, since it saw a pending generation, and finds none, begins nothing."""
    del process
    with pytest.raises(IncompleteError):
        bench.token_rotations.begin(rotate_request(), [], 1)
    assert bench.rotations.open(KeyPurpose.TOKEN) is None
    assert not begin_tokens(bench).resumed


def test_nothing_begins_while_an_old_generation_is_kept(bench: Bench, process: Writer) -> None:
    """Its tokens stand in next_*: the error names a key to destroy."""
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
    """And ends the rotation; the active generation is as it was."""
    process.load(process.record())
    before = bench.keys.token_keys()
    begun = begin_tokens(bench)
    pending = {k.key_id for k in bench.keys.token_keys()} - {k.key_id for k in before}
    assert bench.token_rotations.abort(rotate_request()) == sorted(pending)
    assert states(bench, frozenset(pending)) == {KeyState.DESTROYED}
    assert bench.keys.token_keys() == before
    assert bench.rotations.open(KeyPurpose.TOKEN) is None
    assert bench.ranges(begun.rotation_id) == []


def test_there_may_be_nothing_to_abort(bench: Bench, process: Writer) -> None:
    """Then nothing is destroyed, and a rotation of data keys goes on."""
    del process
    begin_data(bench)
    assert bench.token_rotations.abort(rotate_request()) == []
    assert generations(bench) == {(1, KeyState.ACTIVE)}
    assert bench.rotations.open(KeyPurpose.DATA) is not None


def test_no_number_of_a_generation_comes_twice(bench: Bench, process: Writer) -> None:
    """Not after an abort, nor after a cut-over."""
    del process
    assert bench.token_rotations.next_generation() == 2
    begin_tokens(bench)
    assert bench.token_rotations.next_generation() == 3
    bench.token_rotations.abort(rotate_request())
    assert bench.token_rotations.next_generation() == 3
    begin_tokens(bench, 3)
    bench.cut_over.cut_over(cut_over_request(), 3)
    assert bench.token_rotations.next_generation() == 4
