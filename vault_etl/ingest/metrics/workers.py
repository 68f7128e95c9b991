"""The metrics of several workers, gathered and served by their parent.

Each worker keeps its numbers in files of the parent's (prometheus_client's multiprocess mode),
named by its slot. What ended badly leaves nothing behind: the gauges of a worker go with it, its
counters stay for the next one in its slot, and the folder of a parent that was killed is removed
by the next one of the same user. A parent locks its folder for as long as it lives.
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
"""Of each of a slot's files. The largest, of histograms, has room for 100 operations."""

_KINDS: Final = ("counter", "histogram", *(f"gauge_{mode}" for mode in get_args(Mode)))


class WorkerMetrics:
    """The parent's side. It runs no ingest itself.

    Raises ConfigurationError if no folder can be made for temporary files.
    """

    def __init__(self) -> None:
        keep_values(None)  # the parent's own two metrics are in no file
        try:
            _remove_abandoned()
            self.directory = Path(tempfile.mkdtemp(prefix=_FOLDER))
            lock = _take_lock(self.directory)
        except OSError:
            message = "no folder can be made for the metrics of the workers"
            raise ConfigurationError(
                message, hint="set TMPDIR to a folder that can be written to"
            ) from None
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
        """Give a slot to worker `number`, which is about to be started: what goes into its environment.

        The slot's last holder must have ended. Nothing if there is no room for its files: it then
        works without being counted.
        """
        self._alive.inc()
        try:
            for kind in _KINDS:
                _allocate(self.directory / f"{kind}_{number}.db")
        except OSError:
            return {}
        return MetricsSlot(self.directory, number).as_environment()

    def ended(self, number: int) -> None:
        """Worker `number` has ended, and was waited for: its gauges are forgotten."""
        self._alive.dec()
        self._ends.inc()
        multiprocess.mark_process_dead(number, str(self.directory))  # type: ignore[no-untyped-call]

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """See `PrometheusMetrics.exposition`; of all workers together."""
        return expose(self._registry, accept)

    def close(self) -> None:
        """Remove the folder. It also happens at the end of the process."""
        self._finalizer()


def _allocate(path: Path) -> None:
    """Make a file of zeros, if it is not there, as prometheus_client would: but not a sparse one.

    It maps them into memory, where a full disk would be a signal (SIGBUS) that kills the worker.
    """
    if not path.exists():
        new = path.with_suffix(".new")
        new.write_bytes(bytes(FILE_BYTES))
        new.rename(path)


def _take_lock(directory: Path) -> int:
    """Lock the folder itself: systemd-tmpfiles, too, leaves alone what is locked so."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def _remove(directory: Path, lock: int) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    os.close(lock)


def _remove_abandoned() -> None:
    """Remove the folders of parents that were killed. Those of other users are left alone.

    So are empty ones: their parents may be about to lock them.
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
