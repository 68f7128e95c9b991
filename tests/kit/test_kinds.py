"""Every test has exactly one kind, and no test module imports another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.kit.kinds import KINDS, kinds_of

TESTS = Path(__file__).parents[1]


def test_every_test_has_exactly_one_kind(request: pytest.FixtureRequest) -> None:
    """Every test that this run collected has one kind."""
    kinds = {item.nodeid: kinds_of(item) for item in request.session.items}
    assert {test: found for test, found in kinds.items() if len(found) != 1} == {}


def test_the_kinds_are_registered(pytestconfig: pytest.Config) -> None:
    """`pytest --markers` describes each."""
    registered = {line.partition(":")[0] for line in pytestconfig.getini("markers")}
    assert set(KINDS) <= registered


def test_no_module_imports_a_test_module_or_a_conftest() -> None:
    """Code that two modules need is in `tests/kit`, or beside them in a module of its own."""
    imports = re.compile(
        r"^ *(?:from|import) (tests\.[\w.]*\b(?:test_\w+|conftest))\b", re.MULTILINE
    )
    assert [
        (str(module.relative_to(TESTS)), name)
        for module in sorted(TESTS.rglob("*.py"))
        for name in imports.findall(module.read_text(encoding="utf-8"))
    ] == []
