"""The number of messages that can be held: half of those that can be extended in time."""

from __future__ import annotations

from vault_etl.ingest.engine.held import ASSUMED_SECONDS, MAX_SAMPLES, SAMPLE_SECONDS, Heartbeat


def test_the_bound_is_that_of_the_design() -> None:
    """The bound is 2.5 · H · V / R: each message is extended once every V/2, in half of the heartbeats' time."""
    heartbeat = Heartbeat(2, 30)
    heartbeat.took(0.02, 0)
    assert heartbeat.bound == 2.5 * 2 * 30 / 0.02 == 7_500
    calls_a_second = 2 / 0.02
    needed_a_second = heartbeat.bound / 10 / (30 / 2)
    assert needed_a_second == calls_a_second / 2


def test_an_unmeasured_extension_counts_as_slow() -> None:
    """The assumed tenth of a second is far above a real extension, on the safe side."""
    assert Heartbeat(1, 30).bound == 2.5 * 30 / ASSUMED_SECONDS


def test_the_slowest_of_a_hundred_decides() -> None:
    """The bound uses the p99; a slow sample no longer counts after a hundred faster ones."""
    heartbeat = Heartbeat(1, 30)
    heartbeat.took(10, 0)
    for _ in range(MAX_SAMPLES - 1):
        heartbeat.took(0.1, 0)
    assert heartbeat.bound == 7
    heartbeat.took(0.1, 0)
    assert heartbeat.bound == 750


def test_a_slow_extension_expires() -> None:
    """Few messages are held after a slow extension, so that a faster one may never be measured."""
    heartbeat = Heartbeat(1, 30)
    heartbeat.took(10, 0)
    heartbeat.forget(SAMPLE_SECONDS - 1)
    assert heartbeat.bound == 7
    heartbeat.forget(SAMPLE_SECONDS)
    assert heartbeat.bound == Heartbeat(1, 30).bound


def test_an_extension_that_took_no_time_does_not_divide_by_zero() -> None:
    """The clock may be coarse."""
    heartbeat = Heartbeat(1, 30)
    heartbeat.took(0, 0)
    assert heartbeat.bound == 75_000
