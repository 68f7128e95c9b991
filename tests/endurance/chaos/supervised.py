"""`ingest --follow --workers` as a supervisor keeps it: its processes, watched from outside."""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil

from tests.endurance.chaos.site import Site
from tests.kit.processes import still_running
from vault_etl.local.processes import free_port

ORPHANS_END_S = 10
"""Within so long after their parent's death no worker is alive."""

STOP_S = 40
MIB = 1024 * 1024


@dataclass(slots=True)
class Watched:
    """The worst figures seen of the processes."""

    worker_rss: int = 0
    parent_rss: list[int] = field(default_factory=list)
    parent_descriptors: list[int] = field(default_factory=list)
    parent_threads: list[int] = field(default_factory=list)


class Supervised:
    """One parent at a time, and its workers. All that they print goes to files in `logs`."""

    def __init__(self, site: Site, logs: Path, workers: int) -> None:
        self.workers = workers
        self.logs = logs
        self.watched = Watched()
        self._site = site
        self._metrics = f"127.0.0.1:{free_port()}"
        self._options = ("--workers", str(workers), "--metrics-address", self._metrics)
        self._parents = 0
        logs.mkdir()
        self.parent = self._start()

    def _start(self) -> psutil.Popen:
        self._parents += 1
        self.watched = Watched(self.watched.worker_rss)
        with (
            (self.logs / f"{self._parents}.out").open("wb") as stdout,
            (self.logs / f"{self._parents}.err").open("wb") as stderr,
        ):
            return psutil.Popen(
                self._site.vault.command("ingest", "--follow", *self._options),
                env=self._site.through_proxies(),
                cwd=self._site.vault.home,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )

    def alive(self) -> list[psutil.Process]:
        """The workers that run now."""
        with suppress(psutil.NoSuchProcess):
            return [
                worker
                for worker in self.parent.children()
                if worker.status() != psutil.STATUS_ZOMBIE
            ]
        return []

    def working(self) -> list[psutil.Process]:
        """The workers that have told of a batch."""
        told = {line.get("pid") for line in self.log_lines() if line.get("event") == "batch"}
        return [worker for worker in self.alive() if worker.pid in told]

    def assert_running(self) -> None:
        """The parent has not ended by itself; else this says why."""
        if self.parent.poll() is not None:
            last = (self.logs / f"{self._parents}.err").read_text(encoding="utf-8").splitlines()
            raise AssertionError(last[-3:])

    def watch(self) -> None:
        """Look at memory, descriptors and threads; the parent's only while it has all its workers."""
        workers = self.alive()
        with suppress(psutil.NoSuchProcess):
            for worker in workers:
                self.watched.worker_rss = max(self.watched.worker_rss, worker.memory_info().rss)
        if len(workers) == self.workers:
            self.watched.parent_rss.append(self.parent.memory_info().rss)
            self.watched.parent_descriptors.append(self.parent.num_fds())
            self.watched.parent_threads.append(self.parent.num_threads())

    def kill_parent(self) -> None:
        """`kill -9`, and a new one at once. The workers of the old one must be gone in time."""
        orphans = self.alive()
        self.parent.kill()
        self.parent.wait(STOP_S)
        self.parent = self._start()
        assert still_running(orphans, ORPHANS_END_S) == []

    def metrics(self) -> bytes:
        """Scrape the metrics."""
        with urlopen(f"http://{self._metrics}/metrics", timeout=STOP_S) as answer:
            scraped: bytes = answer.read()
        assert b"vault_etl_" in scraped
        return scraped

    def stop(self) -> dict[str, Any]:
        """SIGTERM; the summary of the last parent. Nothing of it is left."""
        workers = self.alive()
        self.parent.send_signal(signal.SIGTERM)
        assert self.parent.wait(STOP_S) == 0
        assert psutil.wait_procs(workers, 0)[1] == []
        summary: dict[str, Any] = json.loads((self.logs / f"{self._parents}.out").read_text())
        return summary

    def end(self) -> None:
        """Whatever happened: leave no process behind."""
        workers = self.alive()
        for process in (self.parent, *workers):
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs([self.parent, *workers], STOP_S)

    def printed(self) -> bytes:
        """All that all of them have printed."""
        return b"".join(path.read_bytes() for path in sorted(self.logs.iterdir()))

    def log_lines(self) -> list[dict[str, Any]]:
        """The JSON lines of all parents; a line that a kill has cut short is left out."""
        lines = []
        for path in sorted(self.logs.glob("*.err")):
            for line in path.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):
                    lines.append(json.loads(line))
        return lines
