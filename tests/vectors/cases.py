"""Reading the frozen vectors: a file, and its cases."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pytest

from vault_etl.base.pii import Pii

Case = dict[str, Any]

HERE: Final = Path(__file__).parent


def vectors(name: str) -> Case:
    """Read a file of vectors."""
    document = json.loads((HERE / f"{name}.json").read_bytes())
    assert isinstance(document, dict)
    return document


def cases_of(name: str, expect: str) -> list[Any]:
    """Each case of a file that expects this, by its comment."""
    cases = enumerate(vectors(name)["cases"])
    return [
        pytest.param(case, id=f"{number}: {ascii(case['comment'])[1:-1]}")
        for number, case in cases
        if case["expect"] == expect
    ]


def value_of(case: Case) -> Pii:
    """Return the value of a case."""
    return Pii(bytes.fromhex(case["value"]))
