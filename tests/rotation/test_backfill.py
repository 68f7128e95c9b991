"""The backfill: a next token for every row, by compare-and-swap on the values that were read."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declarations import BOTH
from tests.kit.declared import IP
from tests.kit.fakes.eraser import FakeEraser
from tests.kit.fakes.vault import FakeVault, rotate_request
from tests.rotation.rotation_world import seen_by
from tests.rotation.token_world import (
    CUT_OVER,
    Watch,
    forge,
    generations,
    token_vault,
    watched,
)
from vault_etl.base.errors import DataError, IncompleteError
from vault_etl.erase.erase import RecordTarget


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records in two ranges, three a page."""
    return token_vault(monkeypatch, declaration=request.param)


def at_first(name: str, do: Callable[[], Any]) -> Callable[[str, Callable[[], Any]], Any]:
    """Run `do` once, before the first call of this name."""
    done: list[str] = []

    def around(called: str, call: Callable[[], Any]) -> object:
        if called == name and not done:
            done.append(called)
            do()
        return call()

    return around


def test_an_erasure_between_page_and_fill_wins(vault: FakeVault) -> None:
    """No erased value comes back, and the other rows of the page are filled in."""
    erased = min(vault.database.records)
    eraser = FakeEraser(vault.database)
    watch = Watch(vault)

    def erase() -> None:
        eraser.erase(rotate_request(), RecordTarget(erased))

    report = watched(seen_by(vault, at_first("fill", erase)), watch).rotate_tokens()
    assert report.rows == 6
    row = vault.database.records[erased]
    assert (row.tokens, row.next_tokens or {}, row.ciphertexts) == ({}, {}, {})
    assert generations(vault) == CUT_OVER


def test_rows_that_are_reencrypted_meanwhile_are_read_again(vault: FakeVault) -> None:
    """A rotation of the data keys changes every ciphertext of the first page."""
    watch = Watch(vault)
    calls: list[str] = []
    filled: list[int] = []

    def counting(name: str, call: Callable[[], Any]) -> object:
        calls.append(name)
        answer = call()
        if name == "fill":
            filled.append(answer)
        return answer

    seen = seen_by(seen_by(vault, at_first("fill", vault.rotate)), counting)
    report = watched(seen, watch).rotate_tokens()
    assert (report.rows, filled[0]) == (7, 0)
    assert calls.count("page") <= 6
    assert vault.clock.monotonic() == 0, "it waited for its own claim to end"
    assert generations(vault) == CUT_OVER


def test_a_token_that_changes_meanwhile_is_read_again(vault: FakeVault) -> None:
    """The changed token is forged: no next token is made of the values that were read before."""
    forged = min(vault.database.records)
    tokens = vault.database.records[forged].tokens | {IP: uuid.uuid4()}
    around = at_first("fill", lambda: forge(vault, forged, tokens=tokens))
    with pytest.raises(DataError, match=str(forged)):
        seen_by(vault, around).rotate_tokens()
    assert vault.database.records[forged].next_tokens is None


def test_an_abort_in_the_middle_ends_the_backfill(vault: FakeVault) -> None:
    """The fence finds other generations, and no token of an aborted generation is written."""
    around = at_first("fill", lambda: vault.token_rotations.abort(rotate_request()))
    with pytest.raises(IncompleteError):
        seen_by(vault, around).rotate_tokens()
    assert {r.next_token_generation for r in vault.database.records.values()} == {None}


def test_a_row_is_filled_in_once(vault: FakeVault) -> None:
    """A row that a writer, or another process, has filled in is skipped."""
    vault.tokens.blocked = [("another process",)] * 100
    with pytest.raises(IncompleteError):
        vault.rotate_tokens(wait=0.0)
    vault.tokens.blocked = []
    before = {r.record_id: r.next_tokens for r in vault.database.records.values()}
    assert vault.rotate_tokens().rows == 0
    assert {r.record_id: r.tokens for r in vault.database.records.values()} == before


def test_a_row_that_does_not_open_is_passed_once_a_run(vault: FakeVault) -> None:
    """A page of such rows causes no endless loop."""
    for record_id in sorted(vault.database.records)[:4]:
        ciphertexts = vault.database.records[record_id].ciphertexts
        ciphertexts[IP] = ciphertexts[IP][:-16] + bytes(16)
    pages: list[int] = []

    def counting(name: str, call: Callable[[], Any]) -> object:
        answer = call()
        if name == "page":
            pages.append(len(answer.rows))
        return answer

    with pytest.raises(DataError, match="no next token in 4 records"):
        seen_by(vault, counting).rotate_tokens()
    assert sum(pages) == 7
