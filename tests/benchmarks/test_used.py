"""The seconds, CPU and memory of a program are measured without those of its launcher."""

from __future__ import annotations

import subprocess
import sys

import pytest

from benchmarks.used import used_by

pytestmark = pytest.mark.command

_MB = 1_000_000


def test_memory_is_that_of_the_program_and_not_of_this_process() -> None:
    """A program that needs little has little, however much the caller has; its children count."""
    held = bytearray(100 * _MB)
    least = used_by([sys.executable, "-c", "pass"])
    assert least.peak_bytes < 60 * _MB
    child = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'bytearray(80_000_000)'])"
    )
    assert used_by([sys.executable, "-c", child]).peak_bytes > 80 * _MB
    assert len(held) == 100 * _MB


def test_cpu_is_of_the_program_and_its_children() -> None:
    """Sleep takes none; a failure is an error."""
    sleep = "import time; time.sleep(0.3)"
    slept = used_by([sys.executable, "-c", sleep])
    assert slept.seconds >= 0.3 > slept.cpu
    work = (
        "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10_000_000))'])"
    )
    assert used_by([sys.executable, "-c", work]).cpu > slept.cpu
    with pytest.raises(subprocess.CalledProcessError):
        used_by([sys.executable, "-c", "raise SystemExit(3)"])
