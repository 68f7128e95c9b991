"""The kind of a test: `unit`, `contract`, `postgres` or `command`. Each test has exactly one of these markers.

| Kind       | A test has it by                                          | The test needs                        |
|------------|-----------------------------------------------------------|---------------------------------------|
| `contract` | the name of its file: `test_*_contract.py`                | a fake or a real part: one suite      |
| `command`  | a fixture of `COMMAND`, or the marker `system` or `chaos` | processes or servers of its own       |
| `postgres` | the fixture `postgres`                                    | a PostgreSQL server, and no emulator  |
| `unit`     | none of the above                                         | no network and no environment         |

A test that starts a process without any of these fixtures says so itself: `pytestmark = pytest.mark.command`.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

KINDS = ("unit", "contract", "postgres", "command")
COMMAND = {"moto", "localstack"}
"""Fixtures of a test that runs a command, or asks an emulator of AWS."""


def kinds_of(item: pytest.Item) -> list[str]:
    """The kinds that a test is marked with."""
    return [kind for kind in KINDS if item.get_closest_marker(kind)]


def kind_by_needs(item: pytest.Item) -> str:
    """The kind that follows from the name of a test's file, its fixtures and its markers."""
    fixtures: Iterable[str] = getattr(item, "fixturenames", ())
    if item.path.stem.endswith("_contract"):
        return "contract"
    needs_more = any(item.get_closest_marker(marker) for marker in ("system", "chaos"))
    if needs_more or COMMAND.intersection(fixtures):
        return "command"
    return "postgres" if "postgres" in fixtures else "unit"
