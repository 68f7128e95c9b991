"""The queue of `benchmarks.sqs` as a process, for the length of a `with` block."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class ServedQueue:
    """The addresses of a queue, and its statistics once it has ended."""

    endpoint: str
    queue_url: str
    statistics: dict[str, Any] = field(default_factory=dict)


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
        queue = ServedQueue(**json.loads(process.stdout.readline()))
        try:
            yield queue
        finally:
            process.stdin.close()
            queue.statistics = json.loads(process.stdout.readline())
