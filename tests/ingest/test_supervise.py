"""The parent of several workers: its restarts, the point where it gives up, its counts, and its end."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from types import SimpleNamespace

import pytest
from typing_extensions import override

from tests.kit.fakes.clock import FakeClock
from tests.kit.fakes.worker_reports import batch, told
from tests.kit.fakes.workers import KILLED, FakeStarter, FakeWorker
from vault_etl.base.errors import (
    ConfigurationError,
    DataError,
    DeniedError,
    IncompleteError,
    UnavailableError,
    UsageError,
    VaultEtlError,
)
from vault_etl.ingest.observer import IngestObserver, Movement
from vault_etl.ingest.run import StopFlag
from vault_etl.ingest.steps import Bounds
from vault_etl.ingest.workers import DRAIN_CRASHES, KILL_AFTER_S, TICK_S, Supervisor
from vault_etl.records.messages import Outcome

STOP_WITHIN = 10.0
NEVER = float("inf")
FOLLOW = Bounds(follow=True)


@dataclass(slots=True)
class StopAt(StopFlag):
    """A `StopFlag` that is set at one time, and urgent at another."""

    clock: FakeClock
    at: float = NEVER
    urgent_at: float = NEVER

    @override
    def is_set(self) -> bool:
        return self.clock.monotonic() >= self.at

    @override
    def is_urgent(self) -> bool:
        return self.clock.monotonic() >= self.urgent_at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """A clock that moves while the parent sleeps."""
    made = FakeClock()
    monkeypatch.setattr(
        "vault_etl.ingest.workers.time", SimpleNamespace(sleep=made.advance), raising=True
    )
    return made


def supervisor(clock: FakeClock, starter: FakeStarter, bounds: Bounds = Bounds()) -> Supervisor:  # noqa: B008 - frozen
    """Return a supervisor with one worker for each script."""
    return Supervisor(starter, len(starter.started), bounds, clock, starter, STOP_WITHIN)


def crashing(times: int, code: int = KILLED, says: VaultEtlError | None = None) -> list[FakeWorker]:
    """Return workers that each end at once, with this exit code."""
    return [FakeWorker(lives=0, code=code, says=says) for _ in range(times)]


def test_all_workers_are_counted_together(clock: FakeClock) -> None:
    """The run ends when every worker has finished; the last one to end has the latest counts of the queue."""
    starter = FakeStarter(
        clock,
        [FakeWorker(lives=1, reports=told(10, 10, visible=5))],
        [FakeWorker(lives=3, reports=told(7, 6, given_back=1, visible=2))],
    )
    summary = supervisor(clock, starter).run(StopAt(clock))
    assert (summary.received, summary.stored, summary.given_back) == (17, 16, 1)
    assert summary.left_in_flight == 2
    assert (summary.extra_fields, summary.extra_field_names) == (16, {"email": 16})
    assert 3 <= summary.seconds < 3.5
    assert starter.ends == [0, 1]
    assert starter.forgotten == [100, 200]
    assert starter.exit_codes == [0, 0]
    assert starter.observer.movements[Movement.RECEIVED] == 17


def test_restarts_of_a_crashing_worker_become_rarer(clock: FakeClock) -> None:
    """The delays are 0.5, 1, 2, … and at most 30 seconds; `--follow` never gives up, and the other workers continue."""
    starter = FakeStarter(clock, crashing(12), [FakeWorker()])
    with pytest.raises(StopIteration):  # the script is over: it would be started for a 13th time
        supervisor(clock, starter, FOLLOW).run(StopAt(clock))
    starts = [worker.started_at for worker in starter.started[0]]
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    expected = [0.5, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert pauses == pytest.approx(expected, abs=3 * TICK_S)
    assert len(starter.started[1]) == 1


def test_a_crash_after_a_minute_counts_as_the_first(clock: FakeClock) -> None:
    """The next worker starts after the first delay again."""
    script = [*crashing(4), FakeWorker(lives=61, code=KILLED), FakeWorker()]
    starter = FakeStarter(clock, script, [FakeWorker()])
    supervisor(clock, starter, FOLLOW).run(StopAt(clock, at=100))
    fifth, sixth = starter.started[0][-2:]
    assert sixth.started_at - fifth.started_at == pytest.approx(61.5, abs=3 * TICK_S)


def test_a_worker_that_stored_a_message_is_restarted_at_once(clock: FakeClock) -> None:
    """A job that advances does not wait, however often its workers are killed; a drain continues."""
    script = [FakeWorker(lives=1, code=KILLED, reports=told(3, 3)) for _ in range(7)]
    starter = FakeStarter(clock, [*script, FakeWorker(lives=1)], [FakeWorker(lives=1)])
    summary = supervisor(clock, starter).run(StopAt(clock))
    starts = [worker.started_at for worker in starter.started[0]]
    pauses = [later - earlier for earlier, later in pairwise(starts)]
    assert pauses == pytest.approx([1.5] * 7, abs=3 * TICK_S)
    assert summary.stored == 21


def test_a_worker_that_only_met_duplicates_has_not_advanced(clock: FakeClock) -> None:
    """The next worker would meet the same duplicates: a drain gives up."""
    script = [
        FakeWorker(lives=1, code=KILLED, reports=lambda o: o.batch(batch(3, Outcome.DUPLICATE)))
        for _ in range(DRAIN_CRASHES)
    ]
    with pytest.raises(IncompleteError):
        supervisor(clock, FakeStarter(clock, script, [FakeWorker()])).run(StopAt(clock))


@pytest.mark.parametrize(
    ("code", "says", "error"),
    [
        (KILLED, None, IncompleteError),
        (1, None, IncompleteError),
        (69, UnavailableError("away"), UnavailableError),
    ],
)
def test_a_drain_gives_up_on_a_worker_that_crashes_repeatedly(
    clock: FakeClock, code: int, says: VaultEtlError | None, error: type[VaultEtlError]
) -> None:
    """After five crashes it raises the worker's own error, else exit 75; the other workers finish what they began."""
    starter = FakeStarter(clock, crashing(DRAIN_CRASHES, code, says), [FakeWorker(stops_in=2)])
    with pytest.raises(error) as caught:
        supervisor(clock, starter).run(StopAt(clock))
    assert caught.value.exit_code == (says.exit_code if says else 75)
    assert len(starter.started[0]) == DRAIN_CRASHES == 5
    assert len(starter.started[1][0].stops) == 1
    assert starter.started[1][0].killed_at is None


@pytest.mark.parametrize("bounds", [Bounds(), FOLLOW], ids=["drain", "follow"])
@pytest.mark.parametrize(
    "error",
    [UsageError("two"), DataError("sixty-five"), DeniedError("no"), ConfigurationError("what")],
    ids=lambda error: str(error.exit_code),
)
def test_an_error_that_a_restart_cannot_fix_ends_all_workers(
    clock: FakeClock, error: VaultEtlError, bounds: Bounds
) -> None:
    """Exits 2, 65, 77 and 78: the other workers finish what they began, and the parent ends with the error."""
    starter = FakeStarter(
        clock,
        [FakeWorker(stops_in=2, reports=told(3, 3))],
        [FakeWorker(lives=1, code=error.exit_code, says=error)],
    )
    parent = supervisor(clock, starter, bounds)
    with pytest.raises(type(error)) as caught:
        parent.run(StopAt(clock))
    assert caught.value is error
    assert len(starter.started[1]) == 1
    assert len(starter.started[0][0].stops) == 1
    assert starter.started[0][0].killed_at is None
    assert parent.summary().stored == 3


NO_PROCESS = IncompleteError("a worker could not be started", hint="allow more")


def unread(_: IngestObserver) -> None:
    """Fail as a worker fails whose reports no thread can read."""
    raise NO_PROCESS


def test_a_worker_that_cannot_be_started_ends_no_other_worker(
    clock: FakeClock, capsys: pytest.CaptureFixture[str]
) -> None:
    """The start is tried again, after longer and longer, even if the worker before lived for long."""
    old, mute, new = FakeWorker(lives=90, code=KILLED), FakeWorker(reports=unread), FakeWorker()
    starter = FakeStarter(clock, [old, NO_PROCESS, NO_PROCESS, mute, new], [FakeWorker()])
    summary = supervisor(clock, starter, FOLLOW).run(StopAt(clock, at=100))
    assert [worker.killed_at is None for worker in starter.started[0]] == [True, False, True]
    pauses = [worker.started_at - 90 for worker in starter.started[0][1:]]
    assert pauses == pytest.approx([3.5, 7.5], abs=6 * TICK_S)
    (other,) = starter.started[1]
    assert (other.killed_at, len(other.stops)) == (None, 1)
    assert summary.received == 0
    assert capsys.readouterr().err.count("no worker was started") == 3


def test_a_drain_gives_up_if_a_worker_cannot_be_started(clock: FakeClock) -> None:
    """The other workers finish what they began."""
    starter = FakeStarter(clock, [NO_PROCESS] * DRAIN_CRASHES, [FakeWorker(stops_in=2)])
    with pytest.raises(IncompleteError, match="could not be started"):
        supervisor(clock, starter).run(StopAt(clock))
    (other,) = starter.started[1]
    assert (other.killed_at, len(other.stops)) == (None, 1)


def test_a_signal_lets_all_workers_finish(clock: FakeClock) -> None:
    """Each worker is asked once, and no worker is started any more, not even in place of a crashed one."""
    starter = FakeStarter(clock, [FakeWorker(stops_in=3)], [*crashing(5), FakeWorker()])
    summary = supervisor(clock, starter, FOLLOW).run(StopAt(clock, at=2))
    assert len(starter.started[0][0].stops) == 1
    assert len(starter.started[1]) == 3  # at 0, 0.5 and 1.5 s
    assert clock.monotonic() == pytest.approx(5, abs=1)
    assert summary.received == 0


def test_a_second_signal_is_passed_on_once(clock: FakeClock) -> None:
    """The parent raises KeyboardInterrupt, which is exit 130."""
    starter = FakeStarter(clock, [FakeWorker(stops_in=5)], [FakeWorker(stops_in=5)])
    with pytest.raises(KeyboardInterrupt):
        supervisor(clock, starter, FOLLOW).run(StopAt(clock, at=1, urgent_at=2))
    for (worker,) in starter.started:
        assert worker.stops == pytest.approx([1, 2], abs=3 * TICK_S)
        assert worker.killed_at is None


def test_a_worker_that_does_not_end_is_killed_in_time(clock: FakeClock) -> None:
    """The kill comes a moment after the time to stop in; its held messages count as given back."""
    deaf = FakeWorker(stops_in=NEVER, reports=told(8, 5))
    parent = supervisor(clock, FakeStarter(clock, [deaf], [FakeWorker()]), FOLLOW)
    with pytest.raises(IncompleteError, match="1 workers had no time"):
        parent.run(StopAt(clock, at=1))
    assert deaf.killed_at == pytest.approx(1 + STOP_WITHIN + KILL_AFTER_S, abs=3 * TICK_S)
    summary = parent.summary()
    assert (summary.received, summary.stored, summary.given_back) == (8, 5, 3)


def test_no_worker_outlives_a_parent_that_fails(clock: FakeClock) -> None:
    """Every worker is killed first, whatever the error."""
    running = FakeWorker()
    starter = FakeStarter(clock, [running], [])
    with pytest.raises(StopIteration):
        supervisor(clock, starter).run(StopAt(clock))
    assert running.killed_at is not None


@pytest.mark.parametrize(("reported", "received"), [(10, 10), (0, 4)])
def test_messages_of_a_killed_worker_count_as_given_back(
    clock: FakeClock, reported: int, received: int
) -> None:
    """The worker may die after the report of a batch, and before the report of its receive."""
    killed = FakeWorker(lives=1, code=KILLED, reports=told(reported, 4))
    starter = FakeStarter(clock, [killed, FakeWorker(lives=1, reports=told(6, 6))], [FakeWorker()])
    summary = supervisor(clock, starter, FOLLOW).run(StopAt(clock, at=5))
    assert summary.received == received + 6
    assert summary.stored == 10
    assert summary.given_back == received - 4


def test_the_bound_of_messages_is_shared(clock: FakeClock) -> None:
    """Four workers share seven messages; a successor gets the rest; a worker without a share does not start."""
    finished = [FakeWorker(lives=1)]
    crashed = FakeWorker(lives=1, code=KILLED, reports=told(2, 1))
    starter = FakeStarter(clock, [crashed, FakeWorker(lives=1)], finished, [FakeWorker(lives=1)])
    supervisor(clock, starter, Bounds(max_messages=7)).run(StopAt(clock))
    assert [[w.max_messages for w in slot] for slot in starter.started] == [[3, 2], [2], [2]]

    starter = FakeStarter(clock, [FakeWorker(lives=1)], [])
    supervisor(clock, starter, Bounds(max_messages=1)).run(StopAt(clock))
    assert [worker.max_messages for worker in starter.started[0]] == [1]


def test_a_worker_killed_after_its_last_message_has_finished(clock: FakeClock) -> None:
    """No message remains for a successor."""
    killed = FakeWorker(lives=1, code=KILLED, reports=told(2, 2))
    starter = FakeStarter(clock, [killed], [FakeWorker(lives=1, reports=told(2, 2))])
    summary = supervisor(clock, starter, Bounds(max_messages=4)).run(StopAt(clock))
    assert (summary.received, summary.stored) == (4, 4)


def test_the_error_of_a_worker_after_its_last_message_is_raised(clock: FakeClock) -> None:
    """The worker may not have deleted what it stored, and no successor would delete it."""
    says = UnavailableError("the queue is away")
    failed = FakeWorker(lives=1, code=69, says=says, reports=told(2, 2))
    starter = FakeStarter(clock, [failed], [FakeWorker()])
    with pytest.raises(UnavailableError):
        supervisor(clock, starter, Bounds(max_messages=4)).run(StopAt(clock))
