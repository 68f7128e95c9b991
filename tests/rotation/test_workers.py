"""Several workers, each in a thread of its own, share the ranges of one rotation."""

from __future__ import annotations

import concurrent.futures
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.kit.declarations import BOTH
from tests.kit.fakes.running_clock import RunningClock
from tests.kit.fakes.tap import Serial, Tap
from tests.kit.fakes.vault import FakeVault
from tests.rotation.rotation_world import (
    EVERY_ADDRESS,
    Versions,
    active_ids,
    addresses,
    all_values,
    filled_vault,
    key_ids,
)
from vault_etl.base.errors import IncompleteError, IntegrityError, UnavailableError
from vault_etl.rotation import data_keys as rotate_keys
from vault_etl.rotation import workers

WORKERS = 4
PATIENCE_S = 10
"""Real seconds, after which a test gives up: far more than any step takes."""


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records, more ranges than workers, one row a page, and real time."""
    vault = filled_vault(monkeypatch, RunningClock(), request.param)
    monkeypatch.setattr(rotate_keys, "ROWS_A_RANGE", 1)
    monkeypatch.setattr(workers, "PAGE_ROWS", 1)
    monkeypatch.setattr(workers, "CLAIM_AGAIN_S", 0.001)
    return vault


class Meeting:
    """Lets each worker's first page wait until all have claimed a range, so each worker has a part."""

    def __init__(self) -> None:
        self._barrier = threading.Barrier(WORKERS)
        self.pages: Counter[int] = Counter()

    def around(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        """A tap that belongs before the tap that makes calls serial."""
        if name == "page":
            me = threading.get_ident()
            self.pages[me] += 1
            if self.pages[me] == 1:
                self._barrier.wait(PATIENCE_S)
        return call()


def seen_by_workers(
    vault: FakeVault,
    before: Callable[[str, Callable[[], Any]], Any],
    within: Callable[[str, Callable[[], Any]], Any] = lambda _, call: call(),
) -> FakeVault:
    """The same vault for threads: `within` is around one call at a time, `before` around its wait."""
    serial = Serial(within)
    return vault.tapped(lambda part: Tap(serial.tap(part), before))


def test_workers_share_the_ranges(vault: FakeVault) -> None:
    """No value is re-encrypted twice, no value is missed, and each worker has a part."""
    versions, meeting = Versions(vault), Meeting()
    report = seen_by_workers(vault, meeting.around, versions.around).rotate(
        workers=WORKERS, stop=threading.Event()
    )
    assert len(meeting.pages) == WORKERS
    assert (report.values_reencrypted, report.values_remaining) == (all_values(vault), 0)
    assert versions.times_reencrypted == {1}
    assert sum(done for done, _ in vault.progress.steps) == all_values(vault)
    assert key_ids(vault) <= active_ids(vault)
    assert addresses(vault) == EVERY_ADDRESS


def test_workers_of_one_process_share_its_keys(vault: FakeVault) -> None:
    """One new key a field, however many workers ask at once, and each old key is unwrapped once."""
    vault.kms.unwrapped.clear()
    report = seen_by_workers(vault, Meeting().around).rotate(
        workers=WORKERS, stop=threading.Event()
    )
    assert len(report.created) == len(vault.declaration.data_fields)
    assert sorted(vault.kms.unwrapped) == sorted(report.retired)


def test_workers_give_every_row_its_next_token(vault: FakeVault) -> None:
    """In every range, before the cut-over."""
    meeting = Meeting()
    seen = seen_by_workers(vault, meeting.around)
    report = seen.rotate_tokens(workers=WORKERS, stop=threading.Event())
    assert len(meeting.pages) == WORKERS
    assert (report.rows, report.generation) == (7, 2)
    assert {r.token_generation for r in vault.database.records.values()} == {2}


class Failing:
    """The last worker fails after its first page; the others are at their second one by then."""

    def __init__(self, stop: threading.Event, fail: Callable[[], None]) -> None:
        self._meeting = Meeting()
        self._stop = stop
        self._fail = fail
        self._second = threading.Barrier(WORKERS)
        self.told: list[bool] = []
        self.pages_after: Counter[int] = Counter()

    def around(self, name: str, call: Callable[[], Any]) -> Any:  # noqa: ANN401 - as the call
        """A tap that belongs before the tap that makes calls serial."""
        me = threading.get_ident()
        if name != "page":
            return call()
        is_last = threading.current_thread().name == f"rotation_{WORKERS - 1}"
        if self._meeting.pages[me] == 1 and not is_last:
            self._second.wait(PATIENCE_S)
        if self._meeting.pages[me]:
            self.told.append(self._stop.wait(PATIENCE_S))
            self._meeting.pages[me] += 1
            self.pages_after[me] += 1
            return call()
        answer = self._meeting.around(name, call)
        if is_last:
            self._second.wait(PATIENCE_S)
            self._fail()
        return answer


def test_one_workers_failure_ends_the_others(vault: FakeVault) -> None:
    """The others end after the page in hand; the error is raised, and all claims are free at once."""
    stop = threading.Event()

    def fail() -> None:
        raise UnavailableError("away")

    failing = Failing(stop, fail)
    with pytest.raises(UnavailableError):
        seen_by_workers(vault, failing.around).rotate(workers=WORKERS, stop=stop)
    assert set(failing.told) == {True}
    assert set(failing.pages_after.values()) == {1}
    assert_no_range_is_claimed(vault)
    assert vault.rotate(stop=threading.Event()).values_remaining == 0
    assert addresses(vault) == EVERY_ADDRESS


def test_the_first_error_is_raised(vault: FakeVault) -> None:
    """Not the error of a worker that fails after it was told to end, whatever its number."""
    stop = threading.Event()

    def fail() -> None:
        raise UnavailableError("away")

    failing = Failing(stop, fail)

    def and_then(name: str, call: Callable[[], Any]) -> object:
        answer = failing.around(name, call)
        if name == "page" and stop.is_set():
            raise IntegrityError
        return answer

    with pytest.raises(UnavailableError):
        seen_by_workers(vault, and_then).rotate(workers=WORKERS, stop=stop)


def test_an_error_of_the_only_worker_is_raised_and_its_range_is_free(vault: FakeVault) -> None:
    """The case of several workers, without threads."""

    def failing(name: str, call: Callable[[], Any]) -> object:
        if name == "replace":
            raise UnavailableError("away")
        return call()

    with pytest.raises(UnavailableError):
        seen_by_workers(vault, failing).rotate()
    assert_no_range_is_claimed(vault)


@pytest.fixture
def _ctrl_c() -> Iterator[None]:
    """Ctrl-C has Python's own handler, whatever the test runner does with the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_ctrl_c")
@pytest.mark.parametrize("wakes", [True, False], ids=["wakes the wait", "comes just before it"])
def test_ctrl_c_ends_the_workers_at_the_next_page(
    vault: FakeVault, monkeypatch: pytest.MonkeyPatch, wakes: bool
) -> None:
    """The main thread gets the signal while it waits; the workers finish the pages in hand.

    A signal that another thread gets, or that comes just before the wait, does not end the wait.
    """
    stop, is_waiting = threading.Event(), threading.Event()
    main = threading.main_thread().ident
    assert main == threading.get_ident()

    def wait(*args: Any, **options: Any) -> object:  # noqa: ANN401 - as the function
        is_waiting.set()
        return concurrent.futures.wait(*args, **options)

    monkeypatch.setattr(workers, "wait", wait)

    def interrupt() -> None:
        assert is_waiting.wait(PATIENCE_S)
        signal.pthread_kill(main if wakes else threading.get_ident(), signal.SIGINT)

    failing = Failing(stop, interrupt)
    with pytest.raises(KeyboardInterrupt):
        seen_by_workers(vault, failing.around).rotate(workers=WORKERS, stop=stop)
    assert set(failing.told) == {True}
    assert set(failing.pages_after.values()) == {1}
    assert vault.database.audit[-1].error_code == "interrupted"
    assert_no_range_is_claimed(vault)
    assert vault.rotate(stop=threading.Event()).values_remaining == 0


@pytest.mark.parametrize("workers", [1, WORKERS])
def test_a_rotation_that_was_told_to_end_is_not_reported_as_done(
    vault: FakeVault, workers: int
) -> None:
    """A rotation that was stopped half way is not over: the next run continues it."""
    stop = threading.Event()

    def stopping(name: str, call: Callable[[], Any]) -> object:
        answer = call()
        if name == "replace":
            stop.set()
        return answer

    with pytest.raises(IncompleteError):
        seen_by_workers(vault, stopping).rotate(workers=workers, stop=stop)
    assert_no_range_is_claimed(vault)
    report = vault.rotate(stop=threading.Event())
    assert (report.retired, report.values_remaining) == ((), 0)


def assert_no_range_is_claimed(vault: FakeVault) -> None:
    """Another process may continue at once; and some ranges are left."""
    (ranges,) = vault.database.ranges.values()
    left = [held for held in ranges if not held.is_done]
    assert left
    assert {held.claimed_until for held in left} == {0}
