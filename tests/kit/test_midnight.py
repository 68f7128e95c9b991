"""No test sees two days, and no file keeps the date of its import."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

CONFTEST = """
import datetime as dt
import pytest
from tests.kit import midnight

CLOCK = [dt.datetime(2026, 11, {start}, tzinfo=dt.UTC)]
midnight.now = lambda: CLOCK[0]

def sleep(seconds):
    print("slept", round(seconds))
    CLOCK[0] += dt.timedelta(seconds=seconds)

midnight.sleep = sleep

@pytest.fixture(scope="session")
def vault():
    print("made")
    yield
    print("torn down")

@pytest.fixture(scope="module")
def filled(vault):
    print("filled")

@pytest.fixture
def told(request, filled):
    print(request.node.name)
    yield
    CLOCK[0] += dt.timedelta(seconds={each})
"""
TESTS = """
import pytest

@pytest.mark.unit
def test_unit():
    print("unit")

@pytest.mark.{marker}
def test_first(told):
    pass

def test_second(told):
    pass
"""
REPOSITORY: Final = Path(__file__).parents[2]
READERS: Final = ("now", "today", "utcnow", "month_start", "name_of")
CLOCK: Final = re.compile(rf"\b({'|'.join(READERS)})\(")
WORDS = ("unit", "slept", "made", "filled", "torn", "test_")
BOTH = ["test_first", "test_second"]
FILE = ["filled", *BOTH]


@pytest.mark.command
@pytest.mark.parametrize(
    ("start", "each", "marker", "told"),
    [
        ("29, 23, 59, 19", 0, "command", ["unit", "made", *FILE, "unit", *FILE]),
        ("29, 23, 59, 21", 0, "command", ["unit", "slept 39", "made", *FILE, "unit", *FILE]),
        (
            "29, 23, 58, 50",
            35,
            "command",
            ["unit", "made", "filled", "test_first", "slept 35", "test_second", "unit", *FILE],
        ),
        ("29, 23, 57, 1", 0, "endurance", ["unit", "slept 179", "made", *FILE, "unit", *FILE]),
        ("29, 23, 57, 1", 0, "system", ["unit", "slept 179", "made", *FILE, "unit", *FILE]),
        ("30, 23, 57, 1", 0, "command", ["unit", "slept 179", "made", *FILE, "unit", *FILE]),
        (
            "30, 23, 56, 50",
            70,
            "command",
            ["unit", "made", *FILE, "unit", "slept 50", "torn down", "made", *FILE],
        ),
        (
            "30, 23, 56, 50",
            200,
            "command",
            ["unit", "made", *FILE, "unit", "torn down", "made", *FILE],
        ),
    ],
)
def test_a_test_has_one_day_and_a_file_one_month(
    tmp_path: Path, start: str, each: int, marker: str, told: list[str]
) -> None:
    """A test that is no unit test waits for a midnight that is near; the file after a month's end has new fixtures."""
    (tmp_path / "conftest.py").write_text(CONFTEST.format(start=start, each=each))
    for name in ("a", "b"):
        (tmp_path / f"test_{name}.py").write_text(TESTS.format(marker=marker))
    plain = ("-p", "tests.kit.midnight", "-c", os.devnull, f"--rootdir={tmp_path}")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plain, "-qs", "--no-summary", "-p", "no:warnings"],
        cwd=tmp_path,
        env={"PATH": os.defpath, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    lines = [line.lstrip(".") for line in done.stdout.splitlines()]
    assert [line for line in lines if line.startswith(WORDS)] == [*told, "torn down"]


def test_no_date_is_taken_when_a_file_is_imported() -> None:
    """All tests are imported long before the last of them runs."""
    taken = [
        f"{path.relative_to(REPOSITORY)}:{line}"
        for path in sorted((REPOSITORY / "tests").rglob("*.py"))
        if CLOCK.search(text := path.read_text(encoding="utf-8"))
        for line in _clocks_read_by_import(ast.parse(text))
    ]
    assert taken == []


@pytest.mark.parametrize(
    "source",
    [
        "NOW = dt.datetime.now(dt.UTC)",
        "class A:\n    day = date.today()",
        "def f(day=dt.date.today()): pass",
        "@pytest.mark.parametrize('day', [dt.datetime.utcnow()])\ndef f(): pass",
        "MONTH = name_of(0)",
        "DAYS = [f'{dt.datetime.now():%d}' for _ in range(2)]",
    ],
)
def test_a_date_that_an_import_takes_is_found(source: str) -> None:
    """A constant, an attribute of a class, a default, a decorator and a comprehension are of the import."""
    assert list(_clocks_read_by_import(ast.parse(source)))


@pytest.mark.parametrize("source", ["def f():\n    return dt.date.today()", "f = lambda: now()"])
def test_a_date_that_a_call_takes_is_none_of_the_import(source: str) -> None:
    """Bodies of functions run later."""
    assert not list(_clocks_read_by_import(ast.parse(source)))


def _clocks_read_by_import(node: ast.AST) -> Iterator[int]:
    """The lines that read the clock when their file is imported: outside the bodies of functions."""
    match node:
        case ast.Call(func=ast.Attribute(attr=name) | ast.Name(id=name)) if name in READERS:
            yield node.lineno
    for name, child in ast.iter_fields(node):
        if name == "body" and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        for each in child if isinstance(child, list) else [child]:
            if isinstance(each, ast.AST):
                yield from _clocks_read_by_import(each)
