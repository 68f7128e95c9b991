"""Patience: the time of the next attempt, and the time to give up."""

from __future__ import annotations

import pytest

from vault_etl.base.errors import DeniedError, UnavailableError
from vault_etl.platform.waiting import Outage, Patience

AWAY = UnavailableError("not there")
NO = DeniedError("no")
FOR_EVER = Patience(unavailable=None, denied=None)


def test_the_wait_doubles_up_to_half_a_minute() -> None:
    """Up to a second is added at random, so that not all callers come at once."""
    outage = Outage(FOR_EVER)
    now = 0.0
    for least in (0.5, 1, 2, 4, 8, 16, 30, 30, 30):
        delay = outage.failed(AWAY, now)
        assert least <= delay <= least + 1
        assert outage.retry_at == now + delay
        now += delay


def test_calls_that_fail_together_are_one_try() -> None:
    """Several receivers meet one outage: their number does not lengthen the wait."""
    outage = Outage(FOR_EVER)
    first = outage.failed(AWAY, 0)
    assert [outage.failed(AWAY, 0.1) for _ in range(3)] == [first - 0.1] * 3
    assert outage.failed(AWAY, outage.retry_at) <= 2


def test_patience_zero_raises_the_first_failure() -> None:
    """With a patience of 0 the first failure is raised."""
    outage = Outage(Patience(unavailable=0, denied=0))
    with pytest.raises(UnavailableError):
        outage.failed(AWAY, 100)
    with pytest.raises(UnavailableError):
        outage.failed(AWAY, 100)


def test_patience_counts_from_the_first_failure() -> None:
    """The last attempt is made at the end of the patience, not long before."""
    outage = Outage(Patience(unavailable=10, denied=None))
    now = 1_000.0
    while now < 1_010:
        now += outage.failed(AWAY, now)
    assert now == pytest.approx(1_010)
    with pytest.raises(UnavailableError):
        outage.failed(AWAY, 1_010)


def test_a_success_resets_patience_and_waits() -> None:
    """After a success the next outage has the whole patience, and the shortest wait first."""
    outage = Outage(Patience(unavailable=10, denied=None))
    outage.failed(AWAY, 0)
    outage.failed(AWAY, 5)
    outage.ended()
    assert (outage.error, outage.retry_at) == (None, 0)
    assert outage.failed(AWAY, 1_000) <= 1.5


def test_a_refusal_counts_from_the_first_refusal() -> None:
    """The patience for a refusal does not count from the outage before it."""
    outage = Outage(Patience(unavailable=None, denied=10))
    outage.failed(AWAY, 0)
    assert outage.failed(NO, 1_000) <= 1.5
    assert outage.error is NO
    with pytest.raises(DeniedError):
        outage.failed(NO, 1_010)
