"""The queue of `benchmarks.sqs` as a process, for the length of a `with` block."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any


class ServedQueue:
    """The addresses of a queue, for which a caller waits until it is filled, and its statistics once it has ended."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines = lines
        self.statistics: dict[str, Any] = {}

    @property
    def endpoint(self) -> str:
        """The URL of the server."""
        return self._addresses["endpoint"]

    @property
    def queue_url(self) -> str:
        """The URL of the queue."""
        return self._addresses["queue_url"]

    def end(self) -> None:
        """Read the statistics."""
        _ = self._addresses
        self.statistics = json.loads(self._lines.readline())

    @functools.cached_property
    def _addresses(self) -> dict[str, str]:
        addresses: dict[str, str] = json.loads(self._lines.readline())
        return addresses


@contextmanager
def served_queue(
    bodies: Path,
    messages: int,
    *,
    delay_ms: float = 0,
    capacity: float | None = None,
    tls: Path | None = None,
    redelivered: int = 0,
) -> Iterator[ServedQueue]:
    """Serve so many messages: the lines of a file, again and again. `tls` is the folder for the certificate, ca.pem.

    The process fills its queue while the caller does something else.

    `capacity` is the number of requests a second that the queue can do, one after the other; None: any number.
    """
    options = [
        *("--bodies", str(bodies)),
        *("--messages", str(messages)),
        *("--delay-ms", str(delay_ms)),
        *(("--capacity", str(capacity)) if capacity else ()),
        *("--redelivered", str(redelivered)),
        *(("--tls", str(tls)) if tls else ()),
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sqs", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdin and process.stdout  # noqa: S101, PT018 - both are pipes
        queue = ServedQueue(process.stdout)
        try:
            yield queue
        finally:
            process.stdin.close()
            queue.end()
