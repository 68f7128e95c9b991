"""`lake rotate` and `lake erase` on a set: killed anywhere, two at once, and no value lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.lake.lake_world import PARTS, LakeWorld
from tests.lake.mortal import Killed, KillSwitch
from vault_etl.audit.checkpoint import Head
from vault_etl.base.errors import IncompleteError, IntegrityError, StoppedError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState

VALUES = [(f"u-{n % 5}", f"198.51.100.{n}") for n in range(1, 7)]


def without(*users: str) -> list[tuple[str, str | None]]:
    """The values after the erasure of these users, those that are erased first."""
    left = [(user, None if user in users else ip) for user, ip in VALUES]
    return sorted(left, key=lambda one: (one[1] or "", one[0]))


WITHOUT = without("u-1", "u-4")
"""u-1 is in the first and the last part, u-4 in the second one."""


Act = Callable[[LakeWorld, KillSwitch | None], Any]

ACTS: dict[str, Act] = {
    "rotate": lambda world, switch: world.rotate(switch),
    "erase": lambda world, switch: world.erase(switch),
}


@pytest.fixture
def world(tmp_path: Path) -> LakeWorld:
    """Return a set whose data keys are retired, and with new token keys."""
    made = LakeWorld(tmp_path)
    retire(made)
    return made


def retire(world: LakeWorld) -> None:
    """Retire all keys, and make token keys of the next generation."""
    generation = 1
    for key in list(world.vault.database.keys.values()):
        if key.state is KeyState.ACTIVE:
            world.vault.database.keys[key.key_id] = replace(key, state=KeyState.DECRYPT_ONLY)
            generation = max(generation, key.generation or 0)
    world.vault.add_token_keys(generation + 1, KeyState.ACTIVE)


def must_be_whole(world: LakeWorld) -> None:
    """The set on the record has right counts and all keys, and the place has nothing else."""
    current, counts = world.current(), world.counts()
    assert current.manifest.contents == counts
    assert set(world.stored) == current.own_names
    keys = world.reader.keys(current)
    assert {key.key_id for key in counts.keys} <= {key.key_id for key in keys.held}
    assert {key.generation for key in keys.held if key.purpose is KeyPurpose.TOKEN} == {
        each.generation for each in counts.generations
    }


def test_a_rotation_seals_every_part_again_once(world: LakeWorld) -> None:
    """Each part is a version on the record; a second run has nothing to do."""
    before = world.current().manifest
    done = world.rotate()
    assert (done.parts, done.rows) == (PARTS, 6)
    must_be_whole(world)
    after = world.current().manifest
    assert (after.set_id, after.version) == (before.set_id, 1 + PARTS)
    old = {key.key_id for key in before.contents.keys}
    assert old.isdisjoint(key.key_id for key in after.contents.keys)
    assert [each.generation for each in after.contents.generations] == [2]
    assert world.values() == VALUES
    hashes = {entry[1].split()[4] for entry in world.record.entries}
    assert len(hashes) == PARTS, "each entry names the manifest that it replaces"
    assert world.rotate().parts == 0


def test_an_erasure_writes_the_parts_of_the_person_alone(tmp_path: Path) -> None:
    """Their values are gone from every file, and with the last part the erasures end."""
    world = LakeWorld(tmp_path)
    world.record.pending = {1: "u-1"}
    middle = world.current().manifest.parts[1]
    assert world.erase().parts == 2
    must_be_whole(world)
    assert world.current().manifest.parts[1] == middle
    assert world.values() == without("u-1")
    assert world.record.pending == {}
    changes = [changed for *_, changed in world.record.entries]
    assert changes == [True, True, False], "the last entry ends the erasures"


def steps(act: Act, tmp_path: Path) -> int:
    """How many calls change the place or the record."""
    world, switch = LakeWorld(tmp_path), KillSwitch()
    retire(world)
    act(world, switch)
    return switch.calls


@pytest.mark.parametrize("name", ACTS)
def test_killed_anywhere_the_next_run_ends_the_work(name: str, tmp_path: Path) -> None:
    """Between each two changes: the set on the record is whole, and nothing else is left after the next run."""
    act = ACTS[name]
    (tmp_path / "counted").mkdir()
    for at in range(1, steps(act, tmp_path / "counted") + 1):
        (tmp_path / str(at)).mkdir()
        world = LakeWorld(tmp_path / str(at))
        retire(world)
        with pytest.raises(Killed):
            act(world, KillSwitch(at))
        assert sorted(user for user, _ in world.values()) == sorted(user for user, _ in VALUES)
        act(world, None)
        must_be_whole(world)
        assert world.values() == (VALUES if name == "rotate" else WITHOUT)
        assert name == "rotate" or world.record.pending == {}


@pytest.mark.parametrize("name", ACTS)
def test_of_two_runs_at_once_one_ends(name: str, world: LakeWorld) -> None:
    """The other one fails when it wants to change the record, and deletes nothing that the first one needs."""
    act = ACTS[name]

    class Overtaken(KillSwitch):
        def __call__(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as `KillSwitch`
            if self.calls == 2:
                self.calls += 1
                act(world, None)
            return super().__call__(call)

    with pytest.raises(IncompleteError):
        act(world, Overtaken())
    assert world.values() == (VALUES if name == "rotate" else WITHOUT)
    assert set(world.stored) == world.current().own_names, "the files of the other one are deleted"


@pytest.mark.parametrize("at", range(1, 7))
def test_a_rotation_that_an_erasure_overtakes_keeps_no_person(world: LakeWorld, at: int) -> None:
    """Before any of its steps: it is refused, no file has a value of the person, and no value of another is lost."""

    class Overtaken(KillSwitch):
        def __call__(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as `KillSwitch`
            if self.calls == at - 1:
                world.erase()
            return super().__call__(call)

    with pytest.raises(
        (IncompleteError, KeyError)
    ):  # KeyError: a part that the erasure has replaced is gone
        world.rotate(Overtaken())
    assert world.values() == WITHOUT
    assert set(world.stored) == world.current().own_names
    assert world.reader.read() == world.current(), "no newer version is left"


@pytest.mark.parametrize("name", ACTS)
def test_a_signal_after_the_commit_deletes_nothing(name: str, world: LakeWorld) -> None:
    """It is raised as an error of ours, while the record has the new version already."""

    class Signalled(KillSwitch):
        def __call__(self, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as `KillSwitch`
            done = super().__call__(call)
            if isinstance(done, Head):
                message = "stopped by a signal"
                raise StoppedError(message)
            return done

    with pytest.raises(StoppedError):
        ACTS[name](world, Signalled())
    assert world.current().manifest.version == 2
    assert len(world.values()) == len(VALUES)
    ACTS[name](world, None)
    must_be_whole(world)


def test_an_erasure_reaches_the_files_of_a_run_that_was_killed(world: LakeWorld) -> None:
    """They are of a version above the one on the record, which `lake erase` takes the place of."""
    with pytest.raises(Killed):
        world.rotate(KillSwitch(5))
    assert any(name.startswith("manifest-00002") for name in world.stored)
    world.record.pending = {1: "nobody"}
    assert world.erase().rows == 0
    must_be_whole(world)
    assert world.current().manifest.version == 3
    assert [changed for *_, changed in world.record.entries] == [True, False]


def test_a_value_that_does_not_open_stops_a_rotation(world: LakeWorld) -> None:
    """The parts before it are done; the entry of its part says failed; its files are as they were."""
    key_id = world.current().manifest.contents.keys[0].key_id
    del world.vault.database.keys[key_id]
    before = world.current()
    with pytest.raises(IntegrityError):
        world.rotate()
    assert world.current() == before
    last = world.vault.database.audit[-1]
    assert (last.action, last.decision, last.error_code) == ("lake rotate", "failed", "integrity")
