"""Workers as processes of our own command, each in a session of its own.

A worker writes its reports to its standard output, one JSON object per line: `moved`, `batch`,
`state`, and a final `error`. A worker ends when its lifeline ends: a pipe whose other end only the
parent holds. So no worker outlives a parent that was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import override

from vault_etl.base.errors import IncompleteError, VaultEtlError, error_of_code
from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement
from vault_etl.ingest.threads import MORE_THREADS_HINT
from vault_etl.ingest.worker_slot import Worker
from vault_etl.ingest.workers import WorkerStarter

if TYPE_CHECKING:
    from vault_etl.ingest.metrics.workers import WorkerMetrics

LIFELINE_OPTION: Final = "--lifeline"


class WorkerProcesses(WorkerStarter):
    """Starts `vault-etl ARGUMENTS` with the given environment.

    `metrics`, if given, has one slot for each worker.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        metrics: WorkerMetrics | None,
    ) -> None:
        self._arguments = arguments
        self._environment = environment
        self._metrics = metrics
        # Nothing is written to the pipe: its end is the end of this process, by whatever cause.
        self._lifeline, self._held = os.pipe()

    @override
    def start(self, slot: int, max_messages: int | None) -> Worker:
        bound = [] if max_messages is None else ["--max-messages", str(max_messages)]
        metrics = self._metrics.started(slot) if self._metrics else {}
        try:
            process = subprocess.Popen(
                [
                    *(sys.executable, *(f"-W{option}" for option in sys.warnoptions)),
                    *("-P", "-m", "vault_etl", *self._arguments, *bound),
                    *(LIFELINE_OPTION, str(self._lifeline)),
                ],
                env={**self._environment, **metrics},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                pass_fds=[self._lifeline],
                start_new_session=True,
            )
        except OSError as error:
            self.ended(slot)
            raise _not_started(error.strerror or type(error).__name__) from None
        return _WorkerProcess(process)

    @override
    def ended(self, slot: int) -> None:
        if self._metrics is not None:
            self._metrics.ended(slot)


def _not_started(reason: str) -> IncompleteError:
    return IncompleteError(f"a worker could not be started: {reason}", hint=MORE_THREADS_HINT)


class _WorkerProcess(Worker):
    """A process, and the thread that reads its reports."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.pid = process.pid
        self.error: VaultEtlError | None = None
        self._process = process
        self._reader: threading.Thread | None = None

    @override
    def watch(self, observer: IngestObserver) -> None:
        reader = threading.Thread(target=self._read, args=(observer,), daemon=True)
        try:
            reader.start()
        except RuntimeError:
            if self._process.stdout is not None:
                self._process.stdout.close()
            raise _not_started("no thread can read its reports") from None
        self._reader = reader

    @override
    def exit_code(self) -> int | None:
        code = self._process.poll()
        if code is not None and self._reader is not None:
            self._reader.join()
        return code

    @override
    def stop(self, *, now: bool = False) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL if now else signal.SIGTERM)
        if now:
            self._process.wait()

    def _read(self, observer: IngestObserver) -> None:
        pipe = self._process.stdout
        if pipe is None:
            return
        with pipe:
            for line in pipe:
                # The last line of a killed worker may be cut off. And a worker must never wait for
                # its reader, whatever happens to our own output.
                with contextlib.suppress(ValueError, KeyError, TypeError, OSError):
                    self._pass_on(observer, json.loads(line))

    def _pass_on(self, observer: IngestObserver, report: dict[str, Any]) -> None:
        for kind, value in report.items():
            if kind == "moved":
                for movement, messages in value.items():
                    observer.moved(Movement(movement), messages)
            elif kind == "batch":
                observer.batch(BatchReport.from_dict(value))
            elif kind == "state":
                observer.state(IngestState.from_dict(value))
            elif kind == "error":
                self.error = error_of_code(value["code"], value["message"], value["hint"])
