"""The queue on its worse days: every fault falls, at its rate, and the two laws hold whatever falls."""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.faulty_queue import BAD_DAY, UNDEAD_S, Fault, Faults, FaultyQueue
from tests.kit.fakes.queue import FakeQueue, Redrive
from tests.kit.fakes.running_clock import RunningClock
from vault_etl.base.errors import UnavailableError
from vault_etl.records.messages import Message

VISIBILITY_S = 30
CALM = Faults()


def faulty(
    faults: Faults, clock: FakeClock | None = None, visibility: float = VISIBILITY_S
) -> FaultyQueue:
    """A queue with these faults and ten messages."""
    queue = FaultyQueue(clock or FakeClock(), faults, visibility=visibility)
    for number in range(10):
        queue.send(str(number))
    return queue


def ids(messages: list[Message]) -> list[str]:
    """The ids of these messages."""
    return [message.message_id for message in messages]


def test_a_duplicate_comes_while_its_twin_is_held() -> None:
    """Another receive gets a held message too; then the newer handle deletes, and the older handle does not."""
    queue = faulty(Faults(duplicate=1))
    first, second = list(queue.receive(0)), list(queue.receive(0))
    assert sorted(ids(first)) == sorted(ids(second)) == sorted(queue.message_ids)
    assert list(queue.receive(0)) == []
    queue.delete([message.receipt_handle for message in first])
    assert len(queue.message_ids) == 10
    queue.delete([message.receipt_handle for message in second])
    assert queue.message_ids == []
    assert queue.fallen[Fault.DUPLICATE] == 10


def test_messages_come_in_any_order() -> None:
    """Ten in the order that they were sent in would be a miracle."""
    queue = faulty(Faults(reorder=1))
    sent = queue.message_ids
    came = ids(list(queue.receive(0)))
    assert came != sent
    assert sorted(came) == sorted(sent)


def test_a_receive_falls_short() -> None:
    """A receive brings some of the messages, and the next receive brings the rest."""
    queue = faulty(Faults(short=1))
    some = queue.receive(0)
    assert 1 <= len(some) < 10


def test_a_long_poll_brings_nothing_though_there_is_something() -> None:
    """A long poll of a full queue ends empty when its time is over. An empty queue has no such fault."""
    clock = FakeClock()
    queue = faulty(Faults(empty=1), clock)
    assert list(queue.receive(20)) == []
    assert clock.monotonic() == 20
    queue.faults = CALM
    messages = queue.receive(0)
    queue.faults = Faults(empty=1)
    assert len(messages) == 10
    assert list(queue.receive(0)) == []
    assert queue.fallen[Fault.EMPTY] == 1


def test_a_deletion_fails_in_part() -> None:
    """A message that is reported stays in the queue, and each other message is gone."""
    queue = faulty(Faults(delete_failure=0.5))
    messages = list(queue.receive(0))
    left = set(queue.delete([message.receipt_handle for message in messages]))
    assert 0 < len(left) < 10
    assert queue.message_ids == [m.message_id for m in messages if m.receipt_handle in left]


def test_an_extension_fails_in_part_and_nothing_is_stale() -> None:
    """Some messages are hidden for no longer than they were, and the call says so."""
    queue = faulty(Faults(extend_failure=0.5))
    seconds = {message.receipt_handle: 600 for message in queue.receive(0)}
    with pytest.raises(UnavailableError):
        queue.extend(seconds)
    assert set(queue.hidden_for()) == {VISIBILITY_S, 600}


def test_a_deleted_message_comes_once_more() -> None:
    """Shortly after; its new handle deletes without complaint, and extends nothing."""
    clock = FakeClock()
    queue = faulty(Faults(undead=1), clock, visibility=0.5)
    queue.delete([message.receipt_handle for message in queue.receive(0)])
    assert queue.message_ids == []
    came = list(queue.receive(0))
    while clock.monotonic() < UNDEAD_S:
        clock.advance(0.25)
        came += queue.receive(0)
    assert sorted(ids(came)) == sorted(queue.deleted)
    handles = [message.receipt_handle for message in came]
    assert list(queue.extend(dict.fromkeys(handles, 60))) == handles
    assert list(queue.delete(handles)) == []
    clock.advance(VISIBILITY_S)
    assert list(queue.receive(0)) == []
    assert len(queue.deleted) == 10


def test_a_deleted_message_that_no_receive_asks_for_in_time_stays_away() -> None:
    """A deleted message comes back for `UNDEAD_S` seconds only; later no receive brings the message."""
    clock = FakeClock()
    queue = faulty(Faults(undead=1), clock)
    queue.delete([message.receipt_handle for message in queue.receive(0)])
    clock.advance(UNDEAD_S + 1)
    assert list(queue.receive(0)) == []


@pytest.mark.parametrize("fault", [Fault.UNAVAILABLE, Fault.ANSWER_LOST])
def test_a_call_fails_before_or_after_its_effect(fault: Fault) -> None:
    """Any call: the messages of a lost answer are hidden, and those of a lost deletion gone."""
    queue = faulty(CALM)
    kept, gone = (message.receipt_handle for message in queue.receive(0, 2))
    queue.faults = Faults(**{fault: 1})
    calls = [
        lambda: queue.receive(0, 1),
        lambda: queue.delete([gone]),
        lambda: queue.extend({kept: 600}),
        queue.depth,
        queue.visibility_timeout,
    ]
    for call in calls:
        with pytest.raises(UnavailableError):
            call()
    queue.faults = CALM
    depth = queue.depth()
    done = fault is Fault.ANSWER_LOST
    assert (depth.visible, depth.in_flight) == ((7, 2) if done else (8, 2))
    assert len(queue.deleted) == done
    assert (600 in queue.hidden_for()) is done
    assert queue.fallen[fault] == len(calls)


def test_a_fifth_of_the_messages_comes_twice() -> None:
    """A chance is a rate: of a thousand messages, with the room that chance needs."""
    queue = FaultyQueue(FakeClock(), Faults(duplicate=0.2))
    for number in range(1_000):
        queue.send(str(number))
    came: Counter[str] = Counter()
    while messages := queue.receive(0):
        came.update(ids(list(messages)))
    assert 150 < sum(times == 2 for times in came.values()) < 250
    assert max(came.values()) == 2


def test_a_seed_repeats_its_faults() -> None:
    """The same calls with the same seed meet the same faults; calls with another seed do not."""

    def day(seed: int) -> list[object]:
        queue = FaultyQueue(FakeClock(), BAD_DAY, seed=seed)
        for number in range(30):
            queue.send(str(number))
        told: list[object] = []
        for _ in range(30):
            try:
                handles = [message.receipt_handle for message in queue.receive(1)]
                told += [handles, handles and queue.delete(handles)]
            except UnavailableError as error:
                told.append(str(error))
        return told

    assert day(1) == day(1) != day(2)


@given(data=st.data())
def test_no_message_is_lost_or_made(data: st.DataObject) -> None:
    """The messages sent are, at every moment, those deleted, still there, or among the dead letters."""
    clock = FakeClock()
    dead = FakeQueue(clock)
    queue = FaultyQueue(
        clock,
        BAD_DAY,
        seed=data.draw(st.integers(0, 2**32)),
        visibility=VISIBILITY_S,
        redrive=Redrive(3, dead),
    )
    sent: list[str] = []
    handles: list[str] = []
    for step in data.draw(st.lists(st.sampled_from("srdxw"), min_size=10, max_size=80)):
        some = handles[-10:] if handles else ["never-was"]
        with suppress(UnavailableError):
            match step:
                case "s":
                    sent.append(queue.send("body"))
                case "r":
                    handles += [message.receipt_handle for message in queue.receive(1)]
                case "d":
                    queue.delete(some)
                case "x":
                    queue.extend(dict.fromkeys(some, 45))
                case _:
                    clock.advance(VISIBILITY_S / 2)
        assert sorted(queue.deleted + queue.message_ids + dead.message_ids) == sorted(sent)


@pytest.fixture
def restless() -> Iterator[None]:
    """Threads take turns as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("restless")
def test_threads_share_a_queue() -> None:
    """Four of them drain it on a bad day, by a clock that runs: nothing is lost, nothing made."""
    clock = RunningClock(speed=200)
    dead = FakeQueue(clock)
    queue = FaultyQueue(clock, BAD_DAY, visibility=VISIBILITY_S, redrive=Redrive(50, dead))
    sent = {queue.send(str(number)) for number in range(300)}
    seen: set[str] = set()
    broken: list[BaseException] = []

    def consume() -> None:
        try:
            while queue.message_ids:
                with suppress(UnavailableError):
                    messages = queue.receive(2)
                    seen.update(ids(list(messages)))
                    if messages:
                        queue.delete([message.receipt_handle for message in messages])
        except BaseException as error:  # noqa: BLE001 - it is raised again, in the test's thread
            broken.append(error)

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert broken == []
    assert sorted(queue.deleted) == sorted(sent)
    assert seen == sent
    assert dead.message_ids == []
