"""The log lines and the live line of an ingest."""

from __future__ import annotations

import io
import json
import threading

import pytest
from rich.console import Console

from tests.ingest.metrics.reports import report, state
from vault_etl.base import logs
from vault_etl.cli.ingest_live import LiveIngest
from vault_etl.cli.ingest_view import LoggedIngest, ingest_view
from vault_etl.event.rejection import Reason
from vault_etl.ingest.observer import Movement
from vault_etl.ingest.queue import QueueDepth


@pytest.fixture(autouse=True)
def _logs() -> None:
    logs.configure("json", verbose=False, quiet=False)


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    """Return the log lines since the last call."""
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_batch_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """The line has everything in the report, flat, with the worker's process id and a rate."""
    worker = LoggedIngest().worker(4711)
    worker.moved(Movement.RECEIVED, 10)
    worker.batch(report(7, 1, 2, reasons={Reason.NOT_JSON: 5}, cause="unavailable"))
    (line,) = lines(capsys)
    assert line.pop("timestamp")
    assert line == {
        "event": "batch",
        "level": "info",
        "pid": 4711,
        "messages": 15,
        "stored": 7,
        "duplicate": 1,
        "quarantined": 5,
        "already_quarantined": 0,
        "retry": 2,
        "reason_not_json": 5,
        "extra_fields": 1,
        "bytes": 1_000,
        "seconds": 0.5,
        "messages_per_second": 30.0,
        "newest_age": 0.25,
        "oldest_age": 2.0,
        "max_receive_count": 1,
        "cause": "unavailable",
    }


def test_readiness_is_a_line_when_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    """The state is reported every second, and logged once a change, with the missing dependency."""
    view = LoggedIngest()
    first, second = view.worker(1), view.worker(2)
    waiting = state(ready=False, unavailable="unavailable")
    for now in (state(), state(held=3), waiting, waiting, state(), state(ready=False)):
        first.state(now)
    second.state(waiting)
    assert [(line["pid"], line["level"], line["event"], line.get("unavailable")) for line in lines(capsys)] == [
        (1, "info", "ready", None),
        (1, "warning", "not ready", "unavailable"),
        (1, "info", "ready", None),
        (1, "info", "stopping", None),
        (2, "warning", "not ready", "unavailable"),
    ]  # fmt: skip


def test_many_receives_warn_once(capsys: pytest.CaptureFixture[str]) -> None:
    """From the third receive on, all workers together warn once."""
    view = LoggedIngest()
    for pid, count in ((1, 1), (1, 2), (1, 3), (1, 4), (2, 5)):
        view.worker(pid).batch(report(1, max_receive_count=count))
    warned = [line for line in lines(capsys) if line["level"] == "warning"]
    assert [(line["event"], line["receive_count"]) for line in warned] == [
        ("received many times", 3)
    ]


def test_quiet_leaves_the_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    """With `--quiet`, batches give no lines, and warnings stay."""
    logs.configure("json", verbose=False, quiet=True)
    with ingest_view(quiet=True) as view:
        worker = view.worker(1)
        worker.batch(report(1))
        worker.state(state())
        worker.state(state(ready=False, unavailable="denied"))
    assert [line["event"] for line in lines(capsys)] == ["not ready"]


@pytest.mark.parametrize(("terminal", "quiet", "live"), [(0, 0, 0), (1, 0, 1), (1, 1, 0)])
def test_a_terminal_shows_a_live_line(
    monkeypatch: pytest.MonkeyPatch, terminal: int, quiet: int, live: int
) -> None:
    """A terminal without `--quiet` gets a live line, every other output log lines."""
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: bool(terminal))
    monkeypatch.setattr("sys.stderr", stream)
    with ingest_view(quiet=bool(quiet)) as view:
        assert isinstance(view, LiveIngest) == bool(live)


class Clock:
    """A clock of monotonic seconds that a test moves."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


def line(view: LiveIngest) -> str:
    """Return the text of a wide terminal."""
    return "  ".join(view.parts())


def test_the_live_line_has_state_rate_lag_and_totals() -> None:
    """The queue's counts are in it, too."""
    clock = Clock()
    view = LiveIngest(Console(file=io.StringIO()), clock)
    assert line(view) == ("ingest: starting  0/s  lag 0 s  stored 0  duplicates 0  quarantined 0")
    worker = view.worker(1)
    clock.now += 100
    worker.batch(report(4_000, 20, 5, reasons={Reason.NOT_JSON: 3}, oldest_age=150))
    worker.state(state(held=3, depth=QueueDepth(12_345, 67, 0)))
    assert line(view) == (
        "ingest: ready  402/s  lag 2 min  queue 12,345 + 67 in flight"
        "  stored 4,000  duplicates 20  quarantined 3"
    )
    clock.now += 5
    worker.batch(report(1_000, oldest_age=3))
    assert "ready  502/s  lag 3 s" in line(view)
    clock.now += 6
    assert "ready  100/s" in line(view)
    clock.now += 60
    worker.state(state(depth=QueueDepth(0, 0, 0)))
    assert "ready  0/s  lag 0 s  queue 0 + 0 in flight  stored 5,000" in line(view)
    worker.state(state(ready=False, unavailable="unavailable"))
    assert line(view).startswith("ingest: waiting (unavailable)  ")
    worker.state(state(ready=False))
    assert line(view).startswith("ingest: stopping  ")


def test_a_crashed_worker_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    """The report has its id and its exit code; a finished worker is not reported."""
    logs.configure("json", verbose=False, quiet=False)
    view = LoggedIngest()
    view.worker_ended(7, 0)
    view.worker_ended(8, -9)
    (line,) = capsys.readouterr().err.splitlines()
    told = json.loads(line)
    assert (told["event"], told["pid"], told["exit_code"]) == ("worker ended", 8, -9)


def test_workers_share_one_line() -> None:
    """Totals add up; the worst lag and state show; an ended worker does not count."""
    view = LiveIngest(Console(file=io.StringIO()), Clock())
    first, second = view.worker(1), view.worker(2)
    first.batch(report(10, oldest_age=7_200))
    second.batch(report(5, oldest_age=5))
    first.state(state(ready=False, unavailable="denied", depth=QueueDepth(1, 0, 0)))
    second.state(state(depth=QueueDepth(2, 0, 0)))
    assert "waiting (denied)  15/s  lag 2.0 h  queue 2 + 0" in line(view)
    view.worker_ended(1, 0)
    assert "ready  15/s  lag 5 s  queue 2 + 0 in flight  stored 15" in line(view)


def test_a_log_line_goes_above_the_live_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal a warning stays on the screen; the live line is complete, and gone in the end."""
    terminal = io.StringIO()
    monkeypatch.setattr("sys.stderr", terminal)
    logs.configure("text", verbose=False, quiet=False)
    with LiveIngest(Console(file=terminal, force_terminal=True, width=60)) as view:
        view.worker(1).batch(report(123_456))
        logs.get_logger().warning("measured", count=1)
        view._live.refresh()
    shown = terminal.getvalue()
    assert "measured" in shown
    assert shown.rindex("ingest: starting") > shown.index("measured")
    live = shown[shown.rindex("ingest: starting") :]
    assert "stored 123,456\nduplicates 0  quarantined 0" in live.replace("\r", "")
    assert "…" not in shown  # nothing is cut off at the terminal's width
    assert shown.endswith("\x1b[2K")  # the lines are erased


def test_threads_lose_nothing() -> None:
    """Eight threads report at once while the line is drawn."""
    view = LiveIngest(Console(file=io.StringIO()))

    def tell(pid: int) -> None:
        worker = view.worker(pid)
        for _ in range(500):
            worker.batch(report(1))
            worker.state(state())

    threads = [threading.Thread(target=tell, args=(pid,)) for pid in range(8)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        assert line(view).startswith("ingest: ")
    for thread in threads:
        thread.join()
    assert "stored 4,000" in line(view)
