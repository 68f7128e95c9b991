"""Canonical forms do not follow the interpreter: an upgrade of Python changes no token."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.command

REPOSITORY: Final = Path(__file__).parents[2]
MINORS: Final = range(11, 16)
EVERY_CODE_POINT: Final = "24522031337c186db7fd9d7f740ab1175b5a921107df3063ec128a5ee6b8d054"
"""What `on_this_python.py` prints on each of them."""


def _candidates() -> Iterator[str]:
    """This one, those on the PATH, and those that version managers and CI runners keep beside it."""
    yield sys.executable
    cache = os.environ.get("RUNNER_TOOL_CACHE", "/opt/hostedtoolcache")
    homes = (Path.home() / ".pyenv/versions", Path.home() / ".local/share/uv/python")
    for minor in MINORS:
        if found := shutil.which(f"python3.{minor}"):
            yield found
        for home in homes:
            yield from map(str, home.glob(f"*/bin/python3.{minor}"))
        yield from map(str, Path(cache).glob(f"Python/*/*/bin/python3.{minor}"))


def _pythons() -> dict[str, str]:
    """One interpreter that runs, for each minor version there is."""
    asked = "import sys; print('%d.%d' % sys.version_info[:2])"
    found: dict[str, str] = {}
    for candidate in _candidates():
        done = subprocess.run(
            [candidate, "-I", "-c", asked], capture_output=True, text=True, check=False
        )
        if done.returncode == 0:  # a version manager's shim may have nothing behind it
            found.setdefault(done.stdout.strip(), candidate)
    return found


def test_every_python_makes_the_same_canonical_forms() -> None:
    """Each vector, and every code point in use, whatever Unicode the interpreter has."""
    said = {version: _canonical_forms(python) for version, python in _pythons().items()}
    own = "{}.{}".format(*sys.version_info)
    assert own in said
    assert said == dict.fromkeys(said, (0, "", EVERY_CODE_POINT))


def _canonical_forms(python: str) -> tuple[int, str, str]:
    """The exit code, standard error and digest of an interpreter."""
    done = subprocess.run(
        [python, "-B", "-S", "-W", "error", "-m", "tests.vectors.on_this_python"],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stderr, (done.stdout.split() or ["", ""])[-1]


def test_the_vectors_hold_what_pythons_differ_in() -> None:
    """A character that is newer than the oldest Python's Unicode 14 is among them."""
    cases = json.loads((REPOSITORY / "tests/vectors/token.json").read_bytes())["cases"]
    texts = "".join(case.get("text", "") for case in cases)
    assert {"\U00010efd", "\U0001e08f", "\U00016d67"} <= set(texts)
