"""What holds keys shows its memory to no other process of its user."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.command


def looked_at(how: str) -> list[str]:
    """What a process of the same user gets of another one's environment and memory."""
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
    """Neither its environment, where credentials are, nor its memory opens; of an ordinary one they do.

    Where Yama guards the memory of every process, the environment still tells the two apart.
    """
    assert looked_at("guarded") == ["EACCES", "EACCES"]
    assert looked_at("open")[0] == "ok"
