"""The engine alone, in any interleaving of its runner's calls and of failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.ingest.engine.engines import settled
from tests.ingest.engine.ingest_world import LIMITS, ROUNDS, World
from vault_etl.ingest.engine.held import Stage


@dataclass(frozen=True)
class Turn:
    """The result of a call, if its kind can have that result."""

    ends: bool
    """Or it is left under way."""
    well: bool
    part: float
    told: float
    which: int
    seconds: int


def receive(world: World, turn: Turn) -> None:
    """Receive with one of several receivers."""
    call = world.begin_receive(turn.which % LIMITS.receivers)
    if call and turn.ends:
        world.end_receive(call, lost=not turn.well)


def end_receive(world: World, turn: Turn) -> None:
    """Report an answer, or lose it: its messages are hidden for a while."""
    if calls := world.receives:
        world.end_receive(calls[turn.which % len(calls)], lost=not turn.well)


def write(world: World, turn: Turn) -> None:
    """Commit all, some or none: keys were retired, a value was refused, an answer was lost."""
    batch = world.begin_write()
    if batch and turn.ends:
        world.end_write(batch, turn.part, turn.told, turn.seconds)


def end_write(world: World, turn: Turn) -> None:
    """Report after other calls."""
    if writes := world.writes:
        batch = writes[turn.which % len(writes)]
        world.end_write(batch, turn.part, turn.told, turn.seconds)


def delete(world: World, turn: Turn) -> None:
    """Delete a part, before or after an outage."""
    handles = world.begin_delete()
    if handles and turn.ends:
        world.end_delete(handles, turn.part, unavailable=not turn.well)


def end_delete(world: World, turn: Turn) -> None:
    """Report after other calls."""
    if calls := world.deletes:
        world.end_delete(calls[turn.which % len(calls)], turn.part, unavailable=not turn.well)


def extend(world: World, turn: Turn) -> None:
    """Extend the due messages, perhaps too late."""
    call = world.begin_extend()
    if call and turn.ends:
        world.end_extend(call, unavailable=not turn.well)


def end_extend(world: World, turn: Turn) -> None:
    """Report after other calls."""
    if calls := world.extensions:
        world.end_extend(calls[turn.which % len(calls)], unavailable=not turn.well)


def give_back(world: World, _: Turn) -> None:
    """Give back messages that cannot be held, or came too late."""
    world.give_back()


def look(world: World, _: Turn) -> None:
    """Drop the stale messages."""
    world.engine.sort_out(world.now)


def wait(world: World, turn: Turn) -> None:
    """Let handles become due, and go stale."""
    world.clock.advance(turn.seconds)


def network_is_cut(world: World, turn: Turn) -> None:
    """Fail the calls under way; handles may go stale meanwhile."""
    world.fail()
    world.clock.advance(turn.seconds)


def half_a_day(world: World, _: Turn) -> None:
    """Pass the time after which no held message can be held."""
    world.clock.advance(43_190)


def slow_extension(world: World, _: Turn) -> None:
    """Lower the heartbeat's bound."""
    world.engine.extension_took(20, world.now)


def crash(world: World, _: Turn) -> None:
    """Lose the whole process."""
    world.crash()


def abandon(world: World, _: Turn) -> None:
    """End the time while a batch is written: its commit may still be reported."""
    world.begin_write()
    world.engine.abandon()
    world.give_back()


def stop(world: World, turn: Turn) -> None:
    """Request a stop."""
    world.engine.stop(give_back=not turn.well)


def finish(world: World, _: Turn) -> None:
    """Report an empty queue."""
    if world.engine.looks_empty:
        world.engine.finish()


OFTEN: list[Callable[[World, Turn], None]] = [
    *[receive] * 4,
    *[write, delete] * 3,
    *[end_receive, end_write, end_delete, extend, end_extend, give_back, look, wait] * 2,
    network_is_cut,
]
RARELY = [half_a_day, slow_extension, crash, abandon, stop, finish]

TURNS = st.builds(
    Turn,
    ends=st.sampled_from([True, True, False]),
    well=st.sampled_from([True, True, True, False]),
    part=st.sampled_from([1.0, 1.0, 1.0, 0.5, 0.0]),
    told=st.sampled_from([1.0, 1.0, 0.5, 0.0]),
    which=st.integers(0, 9),
    seconds=st.sampled_from([0, 1, 2, 14, 16, 31]),
)


class EngineMachine(RuleBasedStateMachine):
    """Every sent message is stored exactly once in the end, and no deletion precedes its commit."""

    @initialize()
    def start(self) -> None:
        """Start with a filled queue and a process."""
        self.world = World()
        self.send(30)

    @rule(count=st.integers(1, 15))
    def send(self, count: int) -> None:
        """Send messages."""
        for _ in range(count):
            self.world.sent.add(self.world.queue.send(b"ten bytes."))

    @rule(doings=st.lists(st.tuples(st.sampled_from(OFTEN), TURNS), min_size=25, max_size=60))
    def go_on(self, doings: list[tuple[Callable[[World, Turn], None], Turn]]) -> None:
        """Run all threads of a process, in any order."""
        for do, turn in doings:
            do(self.world, turn)
            self.every_message_has_one_fate()
            self.what_is_held_is_bounded()
            self.nothing_is_lost()

    @rule(do=st.sampled_from(RARELY), turn=TURNS)
    def something_happens(self, do: Callable[[World, Turn], None], turn: Turn) -> None:
        """End a process, or all of its handles."""
        do(self.world, turn)

    @invariant()
    def every_message_has_one_fate(self) -> None:
        """Every received message has one end or none yet, at all times."""
        engine = self.world.engine
        stages = Counter(held.stage for held in engine._held)
        without_end = stages[Stage.BUFFERED] + stages[Stage.WRITING] + stages[Stage.GIVING_BACK]
        assert engine.tally.received == settled(engine) + without_end

    @invariant()
    def what_is_held_is_bounded(self) -> None:
        """Held messages are bounded in number and in bytes, those of uncommitted bodies."""
        engine = self.world.engine
        granted = sum(call.granted for call in self.world.receives)
        assert engine.held + granted <= LIMITS.max_held
        sizes = [len(held.message.body.expose()) for held in engine._held if held.message]
        assert engine.held_bytes == sum(sizes) <= LIMITS.max_held_bytes
        buffered = [held for held in engine._held if held.stage is Stage.BUFFERED]
        assert engine._buffer._bytes == sum(held.bytes for held in buffered)
        assert len(engine._buffer) == len(buffered)

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every message is in the queue, or stored, or both."""
        world = self.world
        assert world.sent == world.stored | set(world.queue.message_ids)
        assert set(world.queue.deleted) <= world.stored

    @invariant()
    def nothing_is_stored_twice(self) -> None:
        """No two processes, and no two tries, are told that they stored the same message."""
        world = self.world
        assert world.told_stored + world.engine.tally.stored <= len(world.stored)

    def teardown(self) -> None:
        """Without more faults this process ends, or loads the rest; then a new process does."""
        if not hasattr(self, "world"):
            return
        world = self.world
        world.settle()
        over = world.engine.stopping or world.engine._finishing
        rounds = 0
        while not (world.engine.is_finished if over else self._is_drained):
            world.go_on()
            rounds += 1
            assert rounds < ROUNDS, "this process never ends"
        self.every_message_has_one_fate()
        world.crash()
        world.clock.advance(43_200)
        for _ in range(ROUNDS):
            world.go_on()
        assert world.sent == world.stored
        assert world.queue.message_ids == []
        assert world.engine.tally.received == settled(world.engine)

    @property
    def _is_drained(self) -> bool:
        return not self.world.engine.held and not self.world.queue.message_ids


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=100, stateful_step_count=6, deadline=None)
