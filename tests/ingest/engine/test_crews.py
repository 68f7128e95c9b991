"""Crews grow while the delay of the queue bounds the process, and shrink when their work is done."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ingest.runs import send
from tests.kit.fakes.vault import FakeVault
from vault_etl.ingest.crew_reviews import REVIEW_SECONDS, CrewReviews
from vault_etl.ingest.engine.crew import BUSY_CORE, Crews, Span
from vault_etl.ingest.engine.limits import Limits

MIB = 1024 * 1024
LIMITS: dict[str, Any] = {"receivers": 4, "most_calls": 16, "max_held_bytes": 256 * MIB}


def span(**parts: Any) -> Span:  # noqa: ANN401 - as `Span` has them
    """A span in which nothing happened, but for these parts."""
    nothing = {"core": 0.1, "polls": 0, "received": 0, "buffered": 0, "to_delete": 0}
    return Span(**{**nothing, **parts})


FULL = {"polls": 4, "received": 40}


def sizes(crews: Crews, *spans: Span) -> list[tuple[int, int]]:
    """The receivers and deleters after each review."""
    found = []
    for each in spans:
        crews.review(each)
        found.append((crews.receivers, crews.deleters))
    return found


def test_a_crew_grows_to_its_bound_while_calls_are_waited_for() -> None:
    """Twofold at each review. Each crew grows by its own work."""
    full, waiting = span(**FULL), span(to_delete=1_000)
    assert sizes(Crews(Limits(**LIMITS)), *[full] * 3) == [(8, 2), (16, 2), (16, 2)]
    assert sizes(Crews(Limits(**LIMITS)), *[waiting] * 4) == [(4, 4), (4, 8), (4, 16), (4, 16)]


def test_no_crew_grows_on_a_busy_core() -> None:
    """More threads would take it from one another. Those that work stay."""
    crews = Crews(Limits(**LIMITS))
    sizes(crews, span(**FULL, to_delete=100))
    assert sizes(crews, span(core=BUSY_CORE, **FULL, to_delete=100)) == [(8, 4)]


@pytest.mark.parametrize(
    "calm",
    [
        span(),
        span(polls=4, received=40, buffered=1_000),
        span(to_delete=20),
    ],
    ids=["nothing happened", "a batch waits", "one call a deleter waits"],
)
def test_no_crew_grows_without_need(calm: Span) -> None:
    """The writer has its batch, and each deleter one call."""
    assert sizes(Crews(Limits(**LIMITS)), calm) == [(4, 2)]


def test_receivers_go_back_when_polls_bring_little() -> None:
    """Empty polls cost money, and so do those that fail: at once."""
    for end in (span(polls=10, received=49), span(polls=1, received=0)):
        crews = Crews(Limits(**LIMITS))
        assert sizes(crews, span(**FULL), span(**FULL), end) == [(8, 2), (16, 2), (4, 2)]


def test_deleters_go_back_step_by_step_when_nothing_is_to_be_deleted() -> None:
    """Work comes batch by batch: the next batch may need them."""
    crews = Crews(Limits(**LIMITS))
    sizes(crews, *[span(to_delete=1_000)] * 3)
    assert sizes(crews, *[span()] * 4) == [(4, 8), (4, 4), (4, 2), (4, 2)]


def test_receives_fit_into_memory() -> None:
    """Each reserves ten of the largest messages; the least crew is what was set."""
    small = Crews(Limits(**{**LIMITS, "max_held_bytes": 64 * MIB}))
    assert sizes(small, *[span(**FULL)] * 3)[-1][0] == 6
    tiny = Crews(Limits(**{**LIMITS, "max_held_bytes": 10 * MIB}))
    assert sizes(tiny, span(**FULL)) == [(4, 2)]


def test_a_review_sees_what_happened_since_the_last_one() -> None:
    """Polls, messages and CPU are counted from review to review."""
    vault = FakeVault()
    send(vault, 100)
    steps, cpu = vault.steps(**LIMITS), [0.0]
    reviews = CrewReviews(steps.engine, steps.lock, vault.clock, lambda: cpu[0])

    def receivers_after(messages: int, core: float) -> int:
        for _ in range(messages // 10):
            assert steps.receive(0, 0)
        vault.clock.advance(2 * REVIEW_SECONDS)
        cpu[0] += 2 * REVIEW_SECONDS * core
        assert reviews.review()
        return steps.engine.crews.receivers

    assert not reviews.review()
    assert receivers_after(20, core=0.1) == 8
    assert receivers_after(20, core=1.0) == 8
    assert receivers_after(0, core=0.1) == 8
    assert receivers_after(60, core=0.1) == 16
    assert not steps.receive(0, 0)
    assert receivers_after(0, core=0.1) == 4
