"""Rotations that are under way: begun once, cut into ranges, claimed by one worker a range, ended."""

from __future__ import annotations

import dataclasses
import datetime as dt
import os
import uuid
from collections.abc import Callable, Sequence

import pytest

from tests.kit.bench import Bench
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import token_keys
from tests.kit.rows import Writer, cut_over_request, writer
from tests.kit.swaps import outside
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field, KeyPurpose, Table
from vault_etl.crypto.keys import KeyState
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.records.fenced_writes import KeysChanged
from vault_etl.rotation.ranges import OpenRotation, Range, RotationStep


@pytest.fixture
def process(bench: Bench) -> Writer:
    """A process with keys."""
    return writer(bench)


def begin_data(bench: Bench, *fields: Field, slices: int = 1) -> OpenRotation:
    """Begin a rotation of these fields' data keys, or all."""
    return bench.data_rotations.begin(rotate_request(), fields or tuple(Field), slices)


def begin_tokens(bench: Bench, generation: int = 2, slices: int = 1) -> OpenRotation:
    """Begin a rotation of the token keys."""
    return bench.token_rotations.begin(rotate_request(), token_keys(generation), slices)


def states(bench: Bench, key_ids: Sequence[int] | frozenset[int]) -> set[KeyState]:
    """The states of these keys."""
    return {key.state for key in bench.keys.keys(key_ids)}


def generations(bench: Bench) -> set[tuple[int | None, KeyState]]:
    """The token keys that stand in rows or will."""
    return {(key.generation, key.state) for key in bench.keys.token_keys()}


# --- data keys ---


@pytest.mark.parametrize("fields", [(f,) for f in Field] + [PERSONAL_FIELDS, tuple(Field)])
def test_beginning_retires_the_active_keys_of_its_fields(
    bench: Bench, process: Writer, fields: tuple[Field, ...]
) -> None:
    """Of every process, and of no other field; rows are taken away from what was retired before too."""
    earlier = [bench.data_key(field).key_id for field in Field]
    bench.keys.retire_data_keys(rotate_request(), Field)
    other = writer(bench)
    begun = begin_data(bench, *fields)
    ours = {key.key_id for key in other.keys if key.field in fields}
    assert begun.retired == tuple(sorted(ours))
    assert begun.fields == fields
    assert not begun.resumed
    of_fields = {k.key_id for k in (*process.keys, *other.keys) if k.field in fields}
    before = {key.key_id for key in bench.keys.keys(earlier) if key.field in fields}
    assert begun.old_keys == of_fields | before
    assert states(bench, begun.old_keys) == {KeyState.DECRYPT_ONLY}
    rest = [key.key_id for key in other.keys if key.field not in fields]
    assert states(bench, rest) <= {KeyState.ACTIVE}


def test_what_is_destroyed_is_no_old_key(bench: Bench, process: Writer) -> None:
    """Nothing is under it that could be sealed anew."""
    bench.keys.retire_data_keys(rotate_request(), Field)
    bench.destroy(process.keys[0].key_id)
    old = {key.key_id for key in process.keys[1:]}
    assert begin_data(bench).old_keys == old


def test_another_beginning_goes_on_with_what_is_under_way(bench: Bench, process: Writer) -> None:
    """It retires nothing, whatever fields it asks for, and says what the first one said."""
    process.load(process.record())
    begun = begin_data(bench, Field.IP, slices=3)
    later = bench.data_key(Field.IP)
    again = begin_data(bench, *Field, slices=7)
    assert again == dataclasses.replace(begun, retired=(), resumed=True)
    assert states(bench, [later.key_id]) == {KeyState.ACTIVE}
    assert {held.place for held, _ in bench.ranges(begun.rotation_id)} == {Table.USER_LOGINS}


def test_what_is_under_way_can_be_seen_by_purpose(bench: Bench, process: Writer) -> None:
    """From its beginning to its end, by who may read no row."""
    del process
    assert bench.rotations.open(KeyPurpose.DATA) is None
    data, tokens = begin_data(bench, Field.IP), begin_tokens(bench)
    for purpose, begun in ((KeyPurpose.DATA, data), (KeyPurpose.TOKEN, tokens)):
        seen = dataclasses.replace(begun, retired=(), resumed=True)
        assert bench.rotations.open(purpose) == seen
    bench.data_rotations.end(data.rotation_id)
    assert bench.rotations.open(KeyPurpose.DATA) is None
    assert bench.rotations.open(KeyPurpose.TOKEN) is not None


def test_an_end_is_of_one_rotation(bench: Bench, process: Writer) -> None:
    """It takes the ranges along; once more, or of one that is over, it ends nothing."""
    process.load(process.record())
    first = begin_data(bench)
    for _ in range(2):
        bench.data_rotations.end(first.rotation_id)
    assert bench.ranges(first.rotation_id) == []
    second = begin_data(bench)
    assert (second.retired, second.resumed) == ((), False)
    bench.data_rotations.end(first.rotation_id)
    assert bench.rotations.open(KeyPurpose.DATA) is not None


def test_a_rotation_of_an_empty_vault_has_no_range(bench: Bench, process: Writer) -> None:
    """There is nothing to go through."""
    del process
    for begun in (begin_data(bench, slices=16), begin_tokens(bench, slices=16)):
        assert bench.ranges(begun.rotation_id) == []
        assert bench.claims.claim(begun.rotation_id, uuid.uuid4()) is None
        assert bench.claims.unfinished(begun.rotation_id).ranges == 0


# --- ranges ---


def scattered(process: Writer) -> dict[Table, set[uuid.UUID]]:
    """Rows of three months, of one and the same millisecond, and without a date; and quarantine."""
    now = process.bench.now()
    moments = [now, now, now - dt.timedelta(days=32), now - dt.timedelta(days=33)]
    moments += [dt.datetime.fromtimestamp(0, dt.UTC)] * 3
    moments += [now - dt.timedelta(seconds=7**i) for i in range(6)]
    ids = [
        record_id_of_message(os.urandom(16).hex(), round(moment.timestamp() * 1000))
        for moment in moments
    ]
    bodies = [process.rejection() for _ in range(4)]
    process.load(*(process.record(record_id=i) for i in ids), *bodies)
    return {Table.USER_LOGINS: set(ids), Table.QUARANTINE: {row.record_id for row in bodies}}


@pytest.mark.parametrize("slices", [1, 2, 3, 16, 1000])
@pytest.mark.parametrize("begin", [begin_data, begin_tokens])
def test_ranges_have_every_row_exactly_once(
    bench: Bench, process: Writer, begin: Callable[..., OpenRotation], slices: int
) -> None:
    """However many they are; none has a row of another place, and none is done or begun."""
    rows = scattered(process)
    begun = begin(bench, slices=slices)
    ranges = bench.ranges(begun.rotation_id)
    for place, ids in rows.items():
        there = [held for held, _ in ranges if held.place is place]
        wanted = 0 if begin is begin_tokens and place is Table.QUARANTINE else 1
        assert {sum(r.first <= i <= r.last for r in there) for i in ids} == {wanted}
    assert {(held.after, is_done) for held, is_done in ranges} == {(None, False)}


@pytest.mark.parametrize(
    ("fields", "places"),
    [
        ((Field.IP,), {Table.USER_LOGINS}),
        ((Field.QUARANTINE,), {Table.QUARANTINE}),
        (tuple(Field), set(Table)),
    ],
)
def test_a_rotation_goes_where_its_fields_are(
    bench: Bench, process: Writer, fields: tuple[Field, ...], places: set[Table]
) -> None:
    """And nowhere else."""
    scattered(process)
    begun = begin_data(bench, *fields)
    assert {held.place for held, _ in bench.ranges(begun.rotation_id)} == places


# --- claims ---


@pytest.fixture
def rotation(bench: Bench, process: Writer) -> OpenRotation:
    """One with a few ranges."""
    scattered(process)
    return begin_data(bench, slices=4)


def claimed(bench: Bench, rotation: OpenRotation) -> list[tuple[uuid.UUID, Range]]:
    """Claim until nothing is left."""
    found = []
    while (held := bench.claims.claim(rotation.rotation_id, claim := uuid.uuid4())) is not None:
        found.append((claim, held))
    return found


def test_no_range_is_claimed_twice(bench: Bench, rotation: OpenRotation) -> None:
    """Each is somebody's, in their order, until none is left; what is claimed is not finished."""
    ranges = [held for held, _ in bench.ranges(rotation.rotation_id)]
    assert len(ranges) > 3
    assert [held for _, held in claimed(bench, rotation)] == ranges
    assert bench.claims.unfinished(rotation.rotation_id).ranges == len(ranges)


def test_a_claim_that_nobody_renews_is_free_after_ten_seconds(
    bench: Bench, rotation: OpenRotation
) -> None:
    """And not before."""
    (_, first), *_ = claimed(bench, rotation)
    bench.pass_lease(9)
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) is None
    bench.pass_lease(1.1)
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) == first


def test_what_is_let_go_of_is_free_at_once(bench: Bench, rotation: OpenRotation) -> None:
    """And nothing else is."""
    ours, *_ = claimed(bench, rotation)
    bench.claims.free(uuid.uuid4())
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) is None
    bench.claims.free(ours[0])
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) == ours[1]
    assert bench.claims.claim(rotation.rotation_id, uuid.uuid4()) is None


def test_a_range_is_gone_on_with_where_it_was_left(bench: Bench, rotation: OpenRotation) -> None:
    """Whoever claims it next begins behind what is done."""
    (claim, held), *_ = claimed(bench, rotation)
    after = uuid.UUID(int=held.first.int + 1)
    bench.reencrypter.replace([], [], RotationStep(claim, held, after, is_done=False))
    bench.claims.free(claim)
    next_claim = bench.claims.claim(rotation.rotation_id, uuid.uuid4())
    assert next_claim == dataclasses.replace(held, after=after)


def test_a_range_that_is_done_is_claimed_by_nobody(bench: Bench, rotation: OpenRotation) -> None:
    """It counts as finished, and stays so when its claim ends."""
    everything = claimed(bench, rotation)
    (claim, held), *_ = everything
    bench.reencrypter.replace([], [], RotationStep(claim, held, held.last, is_done=True))
    assert bench.claims.unfinished(rotation.rotation_id).ranges == len(everything) - 1
    bench.claims.free(claim)
    bench.pass_lease(11)
    assert held.first not in {r.first for _, r in claimed(bench, rotation)}


def test_a_step_outside_of_every_claim_moves_nothing(bench: Bench, rotation: OpenRotation) -> None:
    """Neither does one of a rotation that is over."""
    (claim, held), *_ = claimed(bench, rotation)
    before = bench.ranges(rotation.rotation_id)
    bench.reencrypter.replace([], [], outside())
    assert bench.ranges(rotation.rotation_id) == before
    bench.data_rotations.end(rotation.rotation_id)
    bench.reencrypter.replace([], [], RotationStep(claim, held, held.last, is_done=True))
    assert bench.claims.unfinished(rotation.rotation_id).ranges == 0


def test_a_step_moves_the_range_of_its_claim(bench: Bench, rotation: OpenRotation) -> None:
    """And no other of the same worker's."""
    (_, first), (claim, second), (_, third), *_ = claimed(bench, rotation)
    bench.reencrypter.replace([], [], RotationStep(claim, second, second.last, is_done=True))
    there = {r.first: (r.after, is_done) for r, is_done in bench.ranges(rotation.rotation_id)}
    assert there[first.first] == there[third.first] == (None, False)
    assert there[second.first] == (second.last, True)


# --- token keys ---


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
