"""`--forks N` runs each test once, tells what happened to it, and ends when it is told to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.command

FIXTURE = """
import os
import pytest

@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    yield made
    with open("folders", "a") as folders:
        print(os.getpid(), made, file=folders)
"""
PASSING = """
import os
import pytest

@pytest.mark.parametrize("number", range(20))
def test_passes(number, folder):
    with open("ran", "a") as ran:
        print(os.getpid(), __name__, number, file=ran)
"""
FAILING = """
import os
import time

def test_fails(folder):
    os.system(f"echo printed in {__name__}")
    time.sleep(0.5)
    assert 1 == 2, folder.name

def test_is_run_after_it(folder, capfd):
    os.write(1, b"raw")
    assert capfd.readouterr().out == "raw"
"""
DYING = """
import os

def test_passes_first():
    pass

def test_ends_its_process():
    os._exit(3)

def test_is_not_run():
    pass
"""

SLOW = """
import time

import pytest

@pytest.mark.parametrize("number", range(50))
def test_takes_a_moment(number):
    time.sleep(0.1)
"""


def pytest_of(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Run pytest in a folder of tests, without the settings of this project."""
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-p",
            "tests.kit.spread",
            "-c",
            os.devnull,
            f"--rootdir={folder}",
            *args,
            ".",
        ],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_test_is_run_once_and_reported(tmp_path: Path) -> None:
    """Passes and failures, what a failure printed, and the end of a fork; each fork has fixtures of its own."""
    (tmp_path / "conftest.py").write_text(FIXTURE)
    for name, text in {"a": DYING, "b": FAILING, "c": FAILING, "d": PASSING, "e": PASSING}.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    done = pytest_of(tmp_path, "--forks=3")
    assert done.returncode == 1, done.stdout
    assert re.search(r"3 failed, 43 passed in", done.stdout)
    assert "assert 1 == 2" in done.stdout
    for name in ("test_b", "test_c"):
        captured = rf"Captured stdout call -+\nprinted in {name}\n[_=]"
        assert re.search(captured, done.stdout), done.stdout
    assert "its process ended (exit code 3)" in done.stdout
    assert "test_a.py::test_ends_its_process" in done.stdout
    ran = [line.split() for line in (tmp_path / "ran").read_text().splitlines()]
    assert len({(name, number) for _, name, number in ran}) == len(ran) == 40
    folders = [line.split() for line in (tmp_path / "folders").read_text().splitlines()]
    assert {pid for pid, _, _ in ran} <= {pid for pid, _ in folders}
    assert len({folder for _, folder in folders}) == len(folders)
    assert len({Path(folder).parents[1] for _, folder in folders}) == 1


def test_the_first_failure_ends_all_forks(tmp_path: Path) -> None:
    """With `-x`, a fork ends after the test that it runs."""
    (tmp_path / "test_a.py").write_text("def test_fails():\n    assert False\n")
    (tmp_path / "test_b.py").write_text(SLOW)
    done = pytest_of(tmp_path, "--forks=2", "-x")
    assert done.returncode == 1, done.stdout
    assert "stopping after 1 failures" in done.stdout
    assert re.search(r"1 failed(, [1-9] passed)? in", done.stdout), done.stdout
