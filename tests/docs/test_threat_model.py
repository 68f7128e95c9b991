"""docs/threat-model.md: each role has a heading, and each sentence under "Holds" names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.kit.vault import ROLES

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
HELD: Final = [
    bullet
    for block in re.findall(r"^Holds:\n\n((?:[- ] .*\n)+)", PAGE, re.MULTILINE)
    for bullet in re.split(r"^- ", block, flags=re.MULTILINE)[1:]
]


@pytest.mark.parametrize("role", ["owner", *(role for role in ROLES if role != "admin")])
def test_each_role_has_a_heading(role: str) -> None:
    """A reader finds the wrongs that a role may do under its name."""
    headings = re.findall(r"^### (.+)$", PAGE, re.MULTILINE)
    assert [heading for heading in headings if role in heading]


def test_the_page_has_claims() -> None:
    """The page has kept its form, so that the next test sees its sentences."""
    assert len(HELD) > 30


@pytest.mark.parametrize("sentence", HELD, ids=lambda sentence: sentence[:40])
def test_each_claim_has_a_test(sentence: str) -> None:
    """Each sentence under "Holds" names test files that exist."""
    tests = re.findall(r"`(tests/[a-z_/]+(?:\.py)?)`", sentence)
    assert tests, "names no test"
    assert not [test for test in tests if not (ROOT / test).exists()]
