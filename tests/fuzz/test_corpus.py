"""Inputs that the fuzzer found, replayed: fast, on every platform, and without the fuzzer."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.fuzz import run
from tests.fuzz.targets import TARGETS

MAX_BYTES: Final = 300_000
INPUTS: Final = [
    pytest.param(name, path, id=f"{name}/{path.name}")
    for name in TARGETS
    for path in sorted((run.CORPUS / name).iterdir())
]


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("name", "path"), INPUTS)
def test_no_input_of_the_corpus_breaks_a_law(name: str, path: Path) -> None:
    """An input that broke a law once breaks no law now."""
    TARGETS[name](path.read_bytes())


def test_the_corpus_stays_small() -> None:
    """Every clone of the repository contains the corpus."""
    sizes = [path.stat().st_size for path in run.CORPUS.glob("*/*")]
    assert sum(sizes) <= MAX_BYTES
    assert max(sizes) <= run.MAX_BYTES


def test_every_target_is_fuzzed() -> None:
    """`make fuzz` runs all targets, and each has its corpus and its dictionary."""
    assert set(run.TARGETS) == set(TARGETS)
    for name in TARGETS:
        assert (run.HERE / f"{name}.dict").is_file()
        assert any((run.CORPUS / name).iterdir())
