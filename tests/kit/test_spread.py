"""`--forks N` runs each test once, tells what happened to it, and ends when it is told to."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.kit.processes import still_running
from tests.kit.waiting import until

REPOSITORY = Path(__file__).parents[2]

pytestmark = pytest.mark.command

FIXTURE = """
import os
from pathlib import Path

import pytest

@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("made")
    Path(f"started-{os.getpid()}").touch()
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
    {}

def test_is_not_run():
    assert False
"""
ENDS = {
    "os._exit(3)": "exit code 3",
    "os._exit(0)": "exit code 0",
    "raise KeyboardInterrupt": "exit code 0",
    "os.kill(os.getpid(), 9)": "exit code -9",
}
"""What ends the process of a test, and how that is reported."""

SLOW = """
import time

import pytest

@pytest.mark.parametrize("number", range(300))
def test_takes_a_moment(number):
    time.sleep(0.1)
"""


def start_pytest(folder: Path, *args: str) -> subprocess.Popen[str]:
    """Start pytest in a folder of tests, without the settings of this project."""
    plain = ("-p", "tests.kit.spread", "-c", os.devnull, f"--rootdir={folder}")
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", *plain, *args, "."],
        cwd=folder,
        env={"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    )


def pytest_of(folder: Path, *args: str) -> tuple[int, str]:
    """The exit code of pytest in a folder of tests, and what it printed."""
    with start_pytest(folder, *args) as process:
        printed, _ = process.communicate()
    return process.returncode, printed


def test_every_test_is_run_once_and_reported(tmp_path: Path) -> None:
    """Passes and failures, what a failure printed, and the end of a fork; each fork has fixtures of its own."""
    (tmp_path / "conftest.py").write_text(FIXTURE)
    for number, end in enumerate(ENDS):
        (tmp_path / f"test_{number}.py").write_text(DYING.format(end))
    for name, text in {"b": FAILING, "c": FAILING, "d": PASSING, "e": PASSING}.items():
        (tmp_path / f"test_{name}.py").write_text(text)
    code, printed = pytest_of(tmp_path, f"--forks={len(ENDS) + 2}")
    assert code == 1, printed
    assert re.search(r"6 failed, 46 passed in", printed)
    assert "assert 1 == 2" in printed
    for name in ("test_b", "test_c"):
        captured = rf"Captured stdout call -+\nprinted in {name}\n[_=]"
        assert re.search(captured, printed), printed
    for number, told in enumerate(ENDS.values()):
        failed = rf"FAILED test_{number}.py::test_ends_its_process - its process ended \({told}\)"
        assert re.search(failed, printed), printed
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
    code, printed = pytest_of(tmp_path, "--forks=2", "-x")
    assert code == 1, printed
    assert "stopping after 1 failures" in printed
    assert re.search(r"1 failed(, [1-9] passed)? in", printed), printed


def test_forks_end_with_their_parent(tmp_path: Path) -> None:
    """A parent that is killed leaves no fork behind, and each fork tears its fixtures down."""
    (tmp_path / "conftest.py").write_text(FIXTURE)
    for name in ("a", "b"):
        (tmp_path / f"test_{name}.py").write_text(SLOW.replace("(number)", "(number, folder)"))
    process = start_pytest(tmp_path, "--forks=2")
    with process:
        parent = psutil.Process(process.pid)
        until(lambda: len(parent.children()) == 2)
        forks = parent.children()
        until(lambda: len(list(tmp_path.glob("started-*"))) == 2)
        process.kill()
    assert still_running(forks, 20) == []
    assert len((tmp_path / "folders").read_text().splitlines()) == 2
