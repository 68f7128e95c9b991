"""OldTokens: cleared page by page, of one generation, and never of one in use."""

from __future__ import annotations

import uuid

import pytest

from tests.kit.bench import Bench
from tests.kit.ends import ends, load_with_next, pending_generation, set_state
from tests.kit.rows import writer
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.destroy import Cleared

NEXT = ("next_masked_ip", "next_masked_device_id", "next_token_generation")
"""The next tokens of a row, and their generation."""


def with_next(bench: Bench) -> set[uuid.UUID]:
    """The rows that have a next token or its generation."""
    return {
        record_id
        for record_id, row in bench.records().items()
        if {row[name] for name in NEXT} != {None}
    }


@pytest.fixture
def given_up(bench: Bench) -> list[uuid.UUID]:
    """Rows with next tokens of generation 2, which was given up; one row has none."""
    process = writer(bench)
    process.load(process.record())
    pending = pending_generation(bench)
    rows = load_with_next(process, 5)
    set_state(bench, KeyState.DESTROYED, *pending)
    return rows


def test_old_tokens_are_cleared_page_by_page(bench: Bench, given_up: list[uuid.UUID]) -> None:
    """Pages are in the order of the ids, behind the last one, with rows that have none; then no page is left."""
    old_tokens, ids = ends(bench).old_tokens, sorted(bench.records())
    first, second = (len(set(page) & set(given_up)) for page in (ids[:2], ids[2:]))
    assert first + second == 5
    assert old_tokens.clear(2, None, 2) == Cleared(first, ids[1])
    assert with_next(bench) == set(ids[2:]) & set(given_up)
    assert old_tokens.clear(2, ids[1], 10) == Cleared(second, ids[5])
    assert old_tokens.clear(2, ids[5], 10) == Cleared(0, None)
    assert with_next(bench) == set()


def test_other_columns_of_a_row_stay(bench: Bench, given_up: list[uuid.UUID]) -> None:
    """Tokens in use, ciphertexts and plain columns are as they were."""
    before = bench.records()
    ends(bench).old_tokens.clear(2, None, 10)
    for record_id, row in bench.records().items():
        assert row == {**before[record_id], **dict.fromkeys(NEXT)}
    assert len(given_up) == 5


def test_from_the_start_again_is_safe(bench: Bench, given_up: list[uuid.UUID]) -> None:
    """Rows that are cleared already are skipped."""
    old_tokens = ends(bench).old_tokens
    for found in (5, 0):
        assert old_tokens.clear(2, None, 10) == Cleared(found, max(bench.records()))
    assert len(given_up) == 5


def test_tokens_of_another_generation_stay(bench: Bench, given_up: list[uuid.UUID]) -> None:
    """Clearing generation 3 leaves the tokens of generation 2."""
    assert ends(bench).old_tokens.clear(3, None, 10) == Cleared(0, max(bench.records()))
    assert with_next(bench) == set(given_up)


def test_tokens_in_use_stay(bench: Bench) -> None:
    """Pending tokens stay, whatever the caller asks for; and no id comes back."""
    process = writer(bench)
    pending_generation(bench)
    rows = load_with_next(process, 3)
    assert ends(bench).old_tokens.clear(2, None, 2) == Cleared(0, None)
    assert with_next(bench) == set(rows)
