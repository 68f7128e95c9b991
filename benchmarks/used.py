"""Seconds, CPU and memory that a process and its children take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

LAUNCH: Final = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Used:
    """Seconds by the clock, seconds of CPU, and the most bytes that one of the processes had in memory."""

    seconds: float
    cpu: float
    peak_bytes: int


def used_by(
    arguments: Sequence[str],
    environment: Mapping[str, str] | None = None,
    *,
    text: str = "",
    may_fail: bool = False,
) -> Used:
    """Run a program in the repository with this input. Raises CalledProcessError if it fails, unless it `may_fail`."""
    done = subprocess.run(
        [sys.executable, "-S", "-E", str(LAUNCH), *arguments],
        env={**os.environ, **(environment or {})},
        cwd=LAUNCH.parents[1],
        input=text,
        text=True,
        stdout=subprocess.PIPE,
        check=not may_fail,
    )
    return Used(**json.loads(done.stdout))


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process with one thread has had, exact to the nanosecond; Linux."""
    return int(Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()[0]) / 1e9
