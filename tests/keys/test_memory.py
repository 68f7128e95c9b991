"""A process that holds keys shows its memory to no other process of its user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.command


def looked_at(how: str) -> list[str]:
    """Return the parts of a process's environment and memory that another process of its user can read."""
    script = Path(__file__).with_name("memory.py")
    repository = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-B", script, how],
        env={"PYTHONPATH": str(repository), "HOME": "/"},
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


def test_a_process_that_may_hold_keys_cannot_be_looked_into() -> None:
    """The environment, where credentials are, and the memory are closed; those of an ordinary process are open.

    Where Yama guards the memory of every process, the environment still tells the two apart.
    """
    assert looked_at("guarded") == ["EACCES", "EACCES"]
    assert looked_at("open")[0] == "ok"
