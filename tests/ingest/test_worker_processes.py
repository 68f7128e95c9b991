"""A process or thread of a worker that the system does not allow is an error of the start."""

from __future__ import annotations

import os
import resource
import threading
from collections.abc import Iterator

import pytest

from tests.kit.fakes.ingest_observer import FakeIngestObserver
from vault_etl.base.errors import IncompleteError
from vault_etl.ingest.metrics.workers import WorkerMetrics
from vault_etl.ingest.worker_processes import WorkerProcesses

pytestmark = pytest.mark.command


@pytest.fixture
def metrics() -> Iterator[WorkerMetrics]:
    """The metrics of a parent."""
    made = WorkerMetrics()
    yield made
    made.close()


@pytest.fixture
def starter(metrics: WorkerMetrics) -> Iterator[WorkerProcesses]:
    """A starter of workers that end at once."""
    made = WorkerProcesses(["--help"], os.environ, metrics)
    yield made
    os.close(made._lifeline)
    os.close(made._held)


def alive(metrics: WorkerMetrics) -> bool:
    """Tell whether the metrics count a worker as alive."""
    return b"vault_etl_workers 0.0" not in metrics.exposition("text/plain")[0]


def test_no_process_can_be_started(starter: WorkerProcesses, metrics: WorkerMetrics) -> None:
    """The error says why, and the worker does not count as alive. The next start works."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, limits[1]))
    try:
        with pytest.raises(IncompleteError, match="could not be started") as caught:
            starter.start(0, None)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert "ulimit" in str(caught.value.hint)
    assert not alive(metrics)
    worker = starter.start(0, None)
    worker.watch(FakeIngestObserver())
    assert alive(metrics)
    worker.stop(now=True)
    assert worker.exit_code() is not None


def test_no_thread_can_read_its_reports(
    starter: WorkerProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker runs, and its parent must end it."""
    worker = starter.start(0, None)

    def no_thread(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(IncompleteError, match="no thread"):
            worker.watch(FakeIngestObserver())
    worker.stop(now=True)
    assert worker.exit_code() is not None
