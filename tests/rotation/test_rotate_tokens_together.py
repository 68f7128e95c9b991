"""Rotations of the token keys beside all other work, in processes that alternate at any call."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.declarations import BOTH_APART
from tests.kit.fakes.eraser import FakeEraser
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.turns import Turns
from tests.kit.fakes.vault import FakeVault, rotate_request
from tests.rotation.token_world import (
    CUT_OVER,
    Watch,
    event,
    generations,
    generations_in_rows,
    token_vault,
)
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.crypto.keys import KeyState
from vault_etl.declaration.model import Declaration
from vault_etl.erase.erase import UserTarget
from vault_etl.rotation.data_keys import RotationReport
from vault_etl.rotation.token_keys import TokenReport


def orders(processes: int) -> st.SearchStrategy[list[int]]:
    """The order of the processes: by call, or for some calls in a row."""
    turns = st.tuples(st.integers(0, processes - 1), st.integers(1, 12))
    return st.lists(turns, max_size=40).map(
        lambda runs: [p for p, calls in runs for _ in range(calls)]
    )


def written_in_turns(vault: FakeVault, turns: Turns, process: int) -> list[object]:
    """One process that writes four batches with the keys it holds; the cause of each batch that failed."""
    writer = vault.tapped(turns.tap(process)).writer()
    batches = [vault.receive(event(n, vault.declaration)) for n in range(7, 11)]
    return [writer.write(batch).cause for batch in batches]


def assert_cut_over_once(vault: FakeVault, results: Sequence[object]) -> None:
    """One process has cut over, and the other names that process, or says that the rotation is done."""
    assert sum(isinstance(result, TokenReport) for result in results) == 1, results
    others = [result for result in results if not isinstance(result, TokenReport)]
    assert all(isinstance(other, IncompleteError | ConfigurationError) for other in others), others
    assert generations(vault) == CUT_OVER
    assert generations_in_rows(vault) == {(2, 1)} or generations_in_rows(vault) == {
        (2, 1),
        (2, None),
    }


@pytest.mark.parametrize("declaration", BOTH_APART)
@settings(max_examples=80)
@given(order=orders(3))
def test_no_duplicate_is_missed_at_any_instant(declaration: Declaration, order: list[int]) -> None:
    """Two rotations, and a writer that may hold tokens from before `pending`, or from before the cut-over."""
    with pytest.MonkeyPatch.context() as patch:
        vault = token_vault(patch, declaration=declaration)
        watch = Watch(vault)
        turns = Turns(order, watch.look)
        results = turns.run(
            vault.tapped(turns.tap(0)).rotate_tokens,
            vault.tapped(turns.tap(1)).rotate_tokens,
            lambda: written_in_turns(vault, turns, 2),
        )
        assert results[2] == [None] * 4
        assert len(vault.database.records) == 11
        assert_cut_over_once(vault, results[:2])


@pytest.mark.parametrize("declaration", BOTH_APART)
@settings(max_examples=60)
@given(order=orders(4))
def test_ciphertexts_and_rows_may_change_during_a_rotation(
    declaration: Declaration, order: list[int]
) -> None:
    """A rotation of the data keys, an erasure and a writer run beside it: erased values stay erased."""
    with pytest.MonkeyPatch.context() as patch:
        vault = token_vault(patch, declaration=declaration)
        watch = Watch(vault)
        turns = Turns(order, watch.look)
        eraser = turns.tap(2)(FakeEraser(vault.database))
        gone = {record.subject for record in list(vault.database.records.values())[1:3]}
        results = turns.run(
            vault.tapped(turns.tap(0)).rotate_tokens,
            vault.tapped(turns.tap(1)).rotate,
            lambda: [eraser.erase(rotate_request(), UserTarget(user)) for user in sorted(gone)],
            lambda: written_in_turns(vault, turns, 3),
        )
        assert results[3] == [None] * 4
        assert isinstance(results[1], RotationReport)
        assert_cut_over_once(vault, results[:1])
        erased = [r for r in vault.database.records.values() if not r.ciphertexts]
        assert {record.subject for record in erased} == gone
        for record in erased:
            assert not record.tokens
            assert not record.next_tokens


@pytest.mark.parametrize("declaration", BOTH_APART)
@settings(max_examples=60)
@given(order=orders(3))
def test_an_abort_at_any_moment_restores_the_old_state(
    declaration: Declaration, order: list[int]
) -> None:
    """Except for an abort before the beginning or after the end; the next run finishes the remaining work."""
    with pytest.MonkeyPatch.context() as patch:
        vault = token_vault(patch, declaration=declaration)
        watch = Watch(vault)
        turns = Turns(order, watch.look)
        rotated, _, written = turns.run(
            vault.tapped(turns.tap(0)).rotate_tokens,
            lambda: vault.tapped(turns.tap(1)).token_rotations.abort(rotate_request()),
            lambda: written_in_turns(vault, turns, 2),
        )
        assert written == [None] * 4
        assert isinstance(rotated, TokenReport | IncompleteError), rotated
        if isinstance(rotated, IncompleteError):
            assert generations(vault)[KeyState.ACTIVE] == {1}
            assert KeyState.PENDING not in generations(vault)
            last = vault.tapped(lambda part: Tap(part, watch.around)).rotate_tokens()
            assert last.generation == 3
        assert KeyState.PENDING not in generations(vault)


@pytest.mark.parametrize("declaration", BOTH_APART)
@settings(max_examples=40)
@given(order=orders(2))
def test_a_look_up_finds_every_row_during_a_cut_over(
    declaration: Declaration, order: list[int]
) -> None:
    """A look-up by tokens that were made earlier finds every row that was stored by then."""
    with pytest.MonkeyPatch.context() as patch:
        vault = token_vault(patch, declaration=declaration)
        watch = Watch(vault)
        turns = Turns(order, watch.look)

        def find() -> None:
            for _ in range(5):
                Watch(vault.tapped(turns.tap(1))).look()

        rotated, found = turns.run(vault.tapped(turns.tap(0)).rotate_tokens, find)
        assert isinstance(rotated, TokenReport)
        assert found is None
