"""How many messages can be held: half of what can be extended in time."""

from __future__ import annotations

from vault_etl.ingest.engine.held import ASSUMED_SECONDS, MAX_SAMPLES, SAMPLE_SECONDS, Heartbeat


def test_the_bound_is_that_of_the_design() -> None:
    """2.5 · H · V / R, so that each is extended once every V/2 in half of the heartbeats' time."""
    heartbeat = Heartbeat(2, 30)
    heartbeat.took(0.02, 0)
    assert heartbeat.bound == 2.5 * 2 * 30 / 0.02 == 7_500
    calls_a_second = 2 / 0.02
    needed_a_second = heartbeat.bound / 10 / (30 / 2)
    assert needed_a_second == calls_a_second / 2


def test_before_the_first_one_an_extension_is_taken_to_be_slow() -> None:
    """A tenth of a second: far from what it takes, on the safe side."""
    assert Heartbeat(1, 30).bound == 2.5 * 30 / ASSUMED_SECONDS


def test_the_slowest_of_a_hundred_decides() -> None:
    """The p99; after a hundred faster ones it counts no more."""
    heartbeat = Heartbeat(1, 30)
    heartbeat.took(10, 0)
    for _ in range(MAX_SAMPLES - 1):
        heartbeat.took(0.1, 0)
    assert heartbeat.bound == 7
    heartbeat.took(0.1, 0)
    assert heartbeat.bound == 750


def test_a_slow_one_is_forgotten_with_time() -> None:
    """Few are held after it, and so none may be due for a faster one to be seen."""
    heartbeat = Heartbeat(1, 30)
    heartbeat.took(10, 0)
    heartbeat.forget(SAMPLE_SECONDS - 1)
    assert heartbeat.bound == 7
    heartbeat.forget(SAMPLE_SECONDS)
    assert heartbeat.bound == Heartbeat(1, 30).bound


def test_an_extension_that_took_no_time_divides_nothing_by_zero() -> None:
    """A clock may be coarse."""
    heartbeat = Heartbeat(1, 30)
    heartbeat.took(0, 0)
    assert heartbeat.bound == 75_000
