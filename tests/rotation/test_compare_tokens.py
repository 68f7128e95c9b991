"""The check before a cut-over names the faults and their rows."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declarations import BOTH
from tests.kit.declared import IP, PERSONAL_FIELDS
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import FakeVault, rotate_request
from tests.rotation.damage import (
    AFTER,
    BEFORE,
    NOT_CUT_OVER,
    Damage,
    flipped_bit,
    forged_token,
    rotate_with,
    unknown_key,
)
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
from vault_etl.crypto.keys import KeyState
from vault_etl.rotation.compare_tokens import Mapped, TokenComparison


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records in two ranges, three a page."""
    return token_vault(monkeypatch, declaration=request.param)


@pytest.fixture
def damaged(vault: FakeVault) -> uuid.UUID:
    """The record whose values are damaged."""
    return sorted(vault.database.records)[3]


@pytest.mark.parametrize("damage", BEFORE)
def test_an_inconsistent_row_is_named(vault: FakeVault, damaged: uuid.UUID, damage: Damage) -> None:
    """The row is left as it is; every other row is filled in, and no cut-over is made."""
    damage(vault, damaged)
    row = vault.database.records[damaged]
    old = {r.record_id: dict(r.tokens) for r in vault.database.records.values()}
    for _ in range(2):
        with pytest.raises(DataError, match=str(damaged)) as caught:
            vault.rotate_tokens()
        assert str(caught.value).count("-") == 4, "no other one is named"
        assert generations(vault) == NOT_CUT_OVER
        assert vault.database.records[damaged] == row
        assert {r.record_id: r.tokens for r in vault.database.records.values()} == old
        assert vault.database.audit[-1].decision == "failed"


@pytest.mark.parametrize("damage", AFTER)
def test_a_changed_next_token_is_named(
    vault: FakeVault, damaged: uuid.UUID, damage: Damage
) -> None:
    """Any change of a next token is found, and no cut-over is made."""
    with pytest.raises(DataError, match=str(damaged)):
        rotate_with(vault, damage, damaged)
    assert generations(vault) == NOT_CUT_OVER
    with pytest.raises(DataError, match=str(damaged)):
        vault.rotate_tokens()
    assert generations(vault) == NOT_CUT_OVER


@pytest.mark.parametrize("damage", AFTER)
def test_a_fault_outside_the_sample_is_counted(
    vault: FakeVault, damaged: uuid.UUID, damage: Damage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sample has few of many rows: a token of two values is found by a count over all rows."""
    monkeypatch.setattr("vault_etl.rotation.compare_tokens.SAMPLE_ROWS", 0)
    with pytest.raises(DataError, match=str(damaged)):
        rotate_with(vault, damage, damaged)
    assert generations(vault) == NOT_CUT_OVER


@pytest.mark.parametrize(
    ("mapped", "missing", "holds"),
    [
        (Mapped(3, 3, 3), 0, True),
        (Mapped(0, 0, 0), 0, True),
        (Mapped(3, 3, 3), 1, False),
        (Mapped(2, 3, 3), 0, False),
        (Mapped(3, 2, 3), 0, False),
        (Mapped(3, 3, 4), 0, False),
    ],
)
def test_a_check_holds_if_all_numbers_agree(mapped: Mapped, missing: int, holds: bool) -> None:
    """Each field has as many old tokens as new tokens and as pairs, and no row lacks a token."""
    good = Mapped(1, 1, 1)
    for fields in ((mapped, good), (good, mapped)):
        found = dict(zip(PERSONAL_FIELDS, fields, strict=True))
        assert TokenComparison(fields=found, missing=missing).holds is holds


@pytest.mark.parametrize("damage", [flipped_bit, unknown_key, forged_token])
def test_a_row_that_was_mended_is_filled_in_by_the_next_run(
    vault: FakeVault, damaged: uuid.UUID, damage: Damage
) -> None:
    """The next run fills in the row although its range was done."""
    good = vault.database.records[damaged]
    good_tokens, good_ciphertexts = dict(good.tokens), dict(good.ciphertexts)
    damage(vault, damaged)
    with pytest.raises(DataError):
        vault.rotate_tokens()
    forge(vault, damaged, tokens=good_tokens, ciphertexts=good_ciphertexts)
    watch = Watch(vault)
    assert watched(vault, watch).rotate_tokens().rows == 1
    assert generations(vault) == CUT_OVER


def test_a_sample_finds_wrong_tokens_that_map_one_to_one(vault: FakeVault) -> None:
    """All next tokens of a field change places, value by value: no count shows this."""

    def permuting(name: str, call: Callable[[], Any]) -> object:
        if name == "compare":
            rows = vault.database.records
            made = sorted({(r.next_tokens or {})[IP] for r in rows.values()})
            moved = dict(zip(made, made[1:] + made[:1], strict=True))
            for row in list(rows.values()):
                tokens = row.next_tokens or {}
                forge(vault, row.record_id, next_tokens=tokens | {IP: moved[tokens[IP]]})
            answer = call()
            assert answer.holds
            return answer
        return call()

    with pytest.raises(DataError, match=str(min(vault.database.records))):
        seen_by(vault, permuting).rotate_tokens()
    assert generations(vault) == NOT_CUT_OVER


def test_a_row_that_was_damaged_after_its_backfill_is_found_in_the_sample(
    vault: FakeVault, damaged: uuid.UUID
) -> None:
    """Its tokens are right, and its values do not open any more."""
    with pytest.raises(DataError, match=str(damaged)):
        rotate_with(vault, flipped_bit, damaged)
    assert generations(vault) == NOT_CUT_OVER


@pytest.mark.parametrize("at", ["compare", "sample"])
def test_rows_are_not_blamed_for_a_cut_over_by_another_process(vault: FakeVault, at: str) -> None:
    """After that cut-over the check reads rows of other generations."""

    def overtaken(name: str, call: Callable[[], Any]) -> object:
        if name == at and generations(vault) == NOT_CUT_OVER:
            vault.rotate_tokens()
        return call()

    with pytest.raises(IncompleteError):
        vault.tapped(lambda part: Tap(part, overtaken)).rotate_tokens()
    assert generations(vault) == CUT_OVER


def test_rows_are_not_blamed_for_an_abort_by_another_process(vault: FakeVault) -> None:
    """A range that no longer exists is not done."""

    def aborted(name: str, call: Callable[[], Any]) -> object:
        if name == "claim":
            vault.token_rotations.abort(rotate_request())
        return call()

    with pytest.raises(IncompleteError):
        seen_by(vault, aborted).rotate_tokens()
    assert generations(vault) == {KeyState.ACTIVE: {1}, KeyState.DESTROYED: {2}}


def test_an_erased_row_does_not_block_the_cut_over(vault: FakeVault) -> None:
    """A row without a token has no pair to compare."""
    erased = min(vault.database.records)
    forge(vault, erased, tokens={}, ciphertexts={}, token_generation=None)
    assert vault.rotate_tokens().rows == 6
    assert all(not vault.database.records[erased].tokens.get(field) for field in PERSONAL_FIELDS)
