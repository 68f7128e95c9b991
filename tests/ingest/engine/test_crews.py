"""Crews grow while the delay of the queue bounds the process, and only as long as more calls bring more messages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.ingest.runs import send
from tests.kit.fakes.vault import FakeVault
from vault_etl.ingest.crew_reviews import REVIEW_SECONDS, CrewReviews
from vault_etl.ingest.engine.crew import (
    BUSY_CORE,
    FAILED_PAUSE_S,
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    SLOW_S,
    Crew,
    Crews,
    Span,
)
from vault_etl.ingest.engine.limits import MAX_CALL, Limits

MIB = 1024 * 1024
LIMITS: dict[str, Any] = {"receivers": 4, "most_calls": 16, "max_held_bytes": 256 * MIB}
NEVER_FULL = 10**9


@dataclass(slots=True)
class Line:
    """A queue whose every answer takes `delay` seconds, and that gives `capacity` answers a second at most."""

    delay: float
    capacity: float = NEVER_FULL
    found: int = MAX_CALL
    """Messages in an answer."""
    _answers: float = 0.0

    def serve(self, crew: Crew, seconds: float = REVIEW_SECONDS) -> None:
        """Answer the calls of a crew that is always asking, for so many seconds."""
        rate = min(crew.size / self.delay, self.capacity)
        self._answers += rate * seconds
        while self._answers >= 1:
            self._answers -= 1
            crew.ended(self.found, crew.size / rate)


def span(**parts: Any) -> Span:  # noqa: ANN401 - as `Span` has them
    """A span in which nothing happened, but for these parts."""
    nothing = {"seconds": REVIEW_SECONDS, "core": 0.1, "buffered": 0, "to_delete": 0}
    return Span(**{**nothing, **parts})


def receivers(crews: Crews, line: Line, seconds: float, **parts: Any) -> Iterator[int]:  # noqa: ANN401 - as `Span` has them
    """The number of receivers after each review."""
    for _ in range(round(seconds / REVIEW_SECONDS)):
        line.serve(crews.receivers)
        crews.review(span(**parts))
        yield crews.receivers.size


def deleters(crews: Crews, line: Line, *waiting: int) -> list[int]:
    """The number of deleters after each review, if so many messages wait then."""
    found = []
    for each in waiting:
        line.serve(crews.deleters)
        crews.review(span(to_delete=each))
        found.append(crews.deleters.size)
    return found


def grown(line: Line) -> Crews:
    """Crews with all receivers."""
    crews = Crews(Limits(**LIMITS))
    assert list(receivers(crews, line, 1))[-1] == 16
    return crews


NEAR, FAR = 0.02, 1.2


@pytest.mark.parametrize("delay", [NEAR, FAR])
def test_a_crew_grows_to_its_bound_while_the_delay_bounds_it(delay: float) -> None:
    """Twofold each time. Each crew grows by its own work."""
    crews = Crews(Limits(**LIMITS))
    sizes = list(receivers(crews, Line(delay), 20 * delay))
    assert sizes == sorted(sizes)
    assert set(sizes) - {4} == {8, 16}
    assert (crews.deleters.size, crews.held_back) == (2, 0)
    crews = Crews(Limits(**LIMITS))
    assert deleters(crews, Line(NEAR), *[1_000] * 4) == [4, 8, 16, 16]
    assert crews.receivers.size == 4


def test_a_crew_does_not_grow_on_a_queue_that_can_do_no_more() -> None:
    """A larger crew is tried a few times in an hour, and goes back at once. `held_back` tells that."""
    crews = Crews(Limits(**LIMITS))
    sizes = list(receivers(crews, Line(NEAR, capacity=100), 3_600))
    assert set(sizes) == {4, 8}
    assert sizes[-1] == 4
    assert 10 < sizes.count(8) < 60
    assert crews.held_back == 1


@pytest.mark.parametrize("capacity", [30, 5])
def test_a_grown_crew_shrinks_when_its_answers_become_slow(capacity: float) -> None:
    """Before they take as long as a receive waits. It stays small while the queue stays slow."""
    crews = grown(Line(NEAR))
    sizes = list(receivers(crews, Line(NEAR, capacity), 60))
    assert sizes.index(4) * REVIEW_SECONDS < 2 * 2 * 16 / capacity
    assert set(sizes[sizes.index(4) :]) <= {4, 8}


def test_a_crew_grows_again_if_the_delay_alone_became_longer() -> None:
    """Then more calls do bring more."""
    crews = grown(Line(NEAR))
    sizes = list(receivers(crews, Line(2 * SLOW_S), 60))
    assert min(sizes) == 4
    assert sizes[-1] == 16


def test_a_failed_call_leads_back_to_the_least_crew_for_a_while() -> None:
    """The others' answers of the same moment change nothing. The pause counts from the last failure."""
    line = Line(NEAR)
    crews = grown(line)
    crews.receivers.failed()
    sizes = list(receivers(crews, line, FAILED_PAUSE_S / 2))
    crews.receivers.failed()
    sizes += receivers(crews, line, FAILED_PAUSE_S - 2 * REVIEW_SECONDS)
    assert set(sizes) == {4}
    assert crews.held_back == 1
    assert list(receivers(crews, line, 1))[-1] == 16
    assert crews.held_back == 0


def test_pauses_have_a_bound_and_end_with_a_growth_that_helped() -> None:
    """A queue that can do more some day is used."""
    crews, busy = Crews(Limits(**LIMITS)), Line(NEAR, capacity=100)
    list(receivers(crews, busy, 7_200))
    sizes = list(receivers(crews, Line(NEAR), LONGEST_PAUSE_S + 1))
    assert sizes[-1] == 16
    sizes = list(receivers(crews, Line(NEAR, capacity=30), 2 * FIRST_PAUSE_S))
    assert 8 in sizes[sizes.index(4) :]


def test_no_crew_grows_on_a_busy_core() -> None:
    """More threads would take it from one another. Those that work stay."""
    crews, line = Crews(Limits(**LIMITS)), Line(NEAR)
    assert list(receivers(crews, line, 0.1)) == [8]
    assert set(receivers(crews, line, 5, core=BUSY_CORE, to_delete=100)) == {8}
    assert crews.deleters.size == 2


@pytest.mark.parametrize("calm", [{"buffered": 1_000}, {"to_delete": 20}])
def test_no_crew_grows_without_need(calm: dict[str, int]) -> None:
    """The writer has its batch, and each deleter one call."""
    crews, line = Crews(Limits(**LIMITS, batch_size=1_000)), Line(NEAR)
    for _ in range(20):
        line.serve(crews.receivers if "buffered" in calm else crews.deleters)
        crews.review(span(**calm))
    assert (crews.receivers.size, crews.deleters.size) == (4, 2)


def test_receivers_go_back_when_polls_bring_little() -> None:
    """Empty polls cost money: at once, and without a pause."""
    crews = grown(Line(NEAR))
    assert list(receivers(crews, Line(NEAR, found=4), 0.1)) == [4]
    assert crews.held_back == 0


def test_deleters_go_back_step_by_step_when_nothing_is_to_be_deleted() -> None:
    """Work comes batch by batch: the next batch may need them."""
    crews = Crews(Limits(**LIMITS))
    deleters(crews, Line(NEAR), *[1_000] * 3)
    assert deleters(crews, Line(NEAR), *[0] * 4) == [8, 4, 2, 2]


def test_receives_fit_into_memory() -> None:
    """Each reserves ten of the largest messages; the least crew is what was set."""
    small = Crews(Limits(**{**LIMITS, "max_held_bytes": 64 * MIB}))
    assert list(receivers(small, Line(NEAR), 1))[-1] == 6
    tiny = Crews(Limits(**{**LIMITS, "max_held_bytes": 10 * MIB}))
    assert set(receivers(tiny, Line(NEAR), 1)) == {4}


def test_a_review_sees_what_happened_since_the_last_one() -> None:
    """Calls, messages and CPU are counted from review to review."""
    vault = FakeVault()
    send(vault, 1_000)
    steps, cpu = vault.steps(**LIMITS), [0.0]
    reviews = CrewReviews(steps.engine, steps.lock, vault.clock, lambda: cpu[0])

    def receivers_after(messages: int, core: float) -> int:
        for _ in range(messages // 10):
            assert steps.receive(0, 0)
        vault.clock.advance(2 * REVIEW_SECONDS)
        cpu[0] += 2 * REVIEW_SECONDS * core
        assert reviews.review()
        return steps.engine.crews.receivers.size

    assert not reviews.review()
    assert receivers_after(80, core=0.1) == 8
    assert receivers_after(160, core=1.0) == 8
    assert receivers_after(0, core=0.1) == 8
    assert receivers_after(320, core=0.1) == 16
    while steps.receive(0, 0):
        pass
    vault.clock.advance(2 * REVIEW_SECONDS)
    assert reviews.review()
    assert not steps.receive(0, 0)
    assert receivers_after(0, core=0.1) == 4
