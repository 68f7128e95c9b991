"""The metrics of several workers, gathered and served by their parent.

Each worker keeps its numbers in files in the parent's folder (prometheus_client's multiprocess
mode), named by its slot. The gauges of a worker end with it; its counters stay for the next worker
in its slot. A parent locks its folder for as long as it lives. The folder of a parent that was
killed is removed by the next parent of the same user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import Final, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, multiprocess

from vault_etl.base.errors import ConfigurationError
from vault_etl.ingest.metrics.prometheus import PREFIX, MetricsSlot, Mode, expose, keep_values

_FOLDER: Final = "vault-etl-metrics-"

FILE_BYTES: Final = 256 * 1024
"""Size of each file of a slot. The largest, for histograms, has room for 100 operations."""

_KINDS: Final = ("counter", "histogram", *(f"gauge_{mode}" for mode in get_args(Mode)))


class WorkerMetrics:
    """The parent's side of the metrics; the parent runs no ingest itself.

    Raises ConfigurationError if the folder for temporary files cannot be made.
    """

    def __init__(self) -> None:
        keep_values(None)  # the parent's own two metrics are in no file
        try:
            _remove_abandoned()
            self.directory = Path(tempfile.mkdtemp(prefix=_FOLDER))
            lock = _take_lock(self.directory)
        except OSError:
            message = "the folder for the metrics of the workers cannot be made"
            raise ConfigurationError(message, hint="set TMPDIR to a writable folder") from None
        self._finalizer = weakref.finalize(self, _remove, self.directory, lock)
        self._registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(self._registry, path=str(self.directory))  # type: ignore[no-untyped-call]
        self._alive = Gauge(
            "workers", "Worker processes alive.", namespace=PREFIX, registry=self._registry
        )
        self._ends = Counter(
            "worker_ends", "Ends of worker processes.", namespace=PREFIX, registry=self._registry
        )

    def started(self, number: int) -> dict[str, str]:
        """Prepare slot `number` for a worker that is about to start; return variables for its environment.

        The slot's last worker must have ended. Returns nothing if the disk has no room for the files:
        the worker then runs without metrics.
        """
        self._alive.inc()
        try:
            for kind in _KINDS:
                _allocate(self.directory / f"{kind}_{number}.db")
        except OSError:
            return {}
        return MetricsSlot(self.directory, number).as_environment()

    def ended(self, number: int) -> None:
        """Forget the gauges of worker `number`, which has ended and was waited for."""
        self._alive.dec()
        self._ends.inc()
        multiprocess.mark_process_dead(number, str(self.directory))  # type: ignore[no-untyped-call]

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics of all workers together, as `PrometheusMetrics.exposition` does."""
        return expose(self._registry, accept)

    def close(self) -> None:
        """Remove the folder. The end of the process removes it, too."""
        self._finalizer()


def _allocate(path: Path) -> None:
    """Make a file of zeros, if it does not exist, as prometheus_client would, but not a sparse one.

    prometheus_client maps the file into memory. With a sparse file, a full disk would cause a signal
    (SIGBUS) that kills the worker.
    """
    if not path.exists():
        new = path.with_suffix(".new")
        new.write_bytes(bytes(FILE_BYTES))
        new.rename(path)


def _take_lock(directory: Path) -> int:
    """Lock the folder itself: systemd-tmpfiles keeps locked folders, too."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _remove(directory: Path, lock: int) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    os.close(lock)


def _remove_abandoned() -> None:
    """Remove the folders of parents that were killed.

    Folders of other users stay, and empty ones too: their parents may be about to lock them.
    """
    for directory in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        with contextlib.suppress(OSError):
            lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(lock).st_uid == os.geteuid():
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _remove_filled(directory)
            finally:
                os.close(lock)


def _remove_filled(directory: Path) -> None:
    if any(directory.iterdir()):
        shutil.rmtree(directory)
