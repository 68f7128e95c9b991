"""Seconds, CPU and memory that a process and its children take."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).parents[1]
_RSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024
"""Bytes of a unit of `ru_maxrss`."""


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds by the clock, seconds of CPU, and the most bytes that one of the processes had in memory."""

    seconds: float
    cpu: float
    peak_bytes: int


def used_by(arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> Used:
    """Run a program in the repository, and wait for it. Raises CalledProcessError if it fails."""
    began = time.monotonic()
    process = subprocess.Popen(
        arguments,
        env={**os.environ, **(environment or {})},
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, arguments)
    return Used(time.monotonic() - began, _cpu(usage), usage.ru_maxrss * _RSS_UNIT)


def _cpu(usage: resource.struct_rusage) -> float:
    return usage.ru_utime + usage.ru_stime
