"""Rotations that are killed with -9 at points of their work that a seed selects."""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass

from tests.kit.processes import start
from tests.kit.vault import Result, Vault
from tests.rotation.watch import LOOK_S, Watch

JITTER_S = 0.1
"""The delay after the drawn share of the work is done, so that kills hit statements too."""


@dataclass(frozen=True, slots=True)
class Kill:
    """The progress at the kill. `ended`: the rotation ended before the kill, with this exit code."""

    share: float
    done: int
    left: int
    ended: int | None

    @property
    def in_the_middle(self) -> bool:
        """Return True if some ranges were done and others not."""
        return self.ended is None and self.done > 0 and self.left > 0


def rotating(vault: Vault, *args: str) -> subprocess.Popen[str]:
    """Start `keys rotate`."""
    return start(vault, "re-encrypt", "keys", "rotate", "--yes", "--quiet", *args)


def rotate(vault: Vault, *args: str, extra: Mapping[str, str] | None = None) -> Result:
    """Run `keys rotate` to its end."""
    return vault.run("re-encrypt", "keys", "rotate", "--yes", "--quiet", *args, extra=extra)


class Killer:
    """Kills rotations of one purpose, `rows` rows in all, after these shares of the work."""

    def __init__(self, watch: Watch, purpose: str, rows: int, draw: random.Random) -> None:
        self._watch = watch
        self._purpose = purpose
        self._rows = rows
        self._draw = draw

    def shares(self, count: int) -> list[float]:
        """The points of the kills: one drawn from each of this many equal parts of the work."""
        return [(n + self._draw.random()) / count for n in range(count)]

    def kill(self, process: subprocess.Popen[str], share: float) -> Kill:
        """Wait until this share is done, and a moment longer; then kill the rotation."""
        while process.poll() is None and not self._is_done(share):
            time.sleep(LOOK_S)
        time.sleep(self._draw.uniform(0, JITTER_S))
        ended = process.poll()
        process.kill()
        process.communicate()
        done, left = self._watch.ranges(self._purpose)
        assert self._watch.left_behind(self._purpose) == 0
        return Kill(share, done, left, ended)

    def _is_done(self, share: float) -> bool:
        begun, left = sum(self._watch.ranges(self._purpose)), self._watch.work_left(self._purpose)
        return begun > 0 and left <= self._rows * (1 - share)
