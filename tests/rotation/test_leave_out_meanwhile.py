"""Concurrent changes while rows are left out of a rotation of the token keys, and the rotations after it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.kit.declarations import BOTH, DEFAULT
from tests.kit.fakes.clock import FakeStop
from tests.kit.fakes.vault import FakeVault
from tests.rotation.damage import NOT_CUT_OVER, flipped_bit, other_than
from tests.rotation.rotation_world import seen_by
from tests.rotation.token_world import (
    CUT_OVER,
    forge,
    generations,
    token_vault,
)
from tests.rotation.workers_rows import WORKER, entries, hinted, store_of_worker
from vault_etl.base.errors import DataError, IncompleteError
from vault_etl.crypto.keys import KeyState


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records in two ranges, three a page."""
    return token_vault(monkeypatch, declaration=request.param)


@pytest.fixture
def damaged(vault: FakeVault) -> uuid.UUID:
    """The record whose values are damaged."""
    return sorted(vault.database.records)[3]


@pytest.fixture
def workers(vault: FakeVault) -> Sequence[uuid.UUID]:
    """Five more records, under keys of the login `worker`."""
    return store_of_worker(vault)


def test_rows_left_out_stay_out_when_the_rotation_is_continued(
    vault: FakeVault, workers: Sequence[uuid.UUID]
) -> None:
    """Killed after the first page: the other rows are named again, and marked rows are not opened again."""
    for record_id in workers:
        flipped_bit(vault, record_id)
    marked = 0

    def killed(name: str, call: Callable[[], Any]) -> object:
        nonlocal marked
        if name == "named":
            marked += 1
            if marked > 1:
                raise IncompleteError("killed")
        return call()

    with pytest.raises(IncompleteError):
        seen_by(vault, killed).rotate_tokens(WORKER)
    first = vault.declaration.events[0].name
    done = min(3, sum(vault.database.records[i].event == first for i in workers))
    with pytest.raises(DataError, match=f"no next token in {5 - done} records"):
        vault.rotate_tokens()
    assert vault.rotate_tokens(WORKER).left_out == 5
    assert [e[-1] for e in entries(vault, "leave out")][-1].endswith("5 of 5 records")


def test_leaving_out_stops_when_it_is_told_to(
    vault: FakeVault, workers: Sequence[uuid.UUID]
) -> None:
    """The stop comes between two pages; that is not a success, and its outcome says so."""
    flipped_bit(vault, workers[0])
    stop = FakeStop(vault.clock)

    def stopped(name: str, call: Callable[[], Any]) -> object:
        if name == "named":
            stop.set()
        return call()

    with pytest.raises(IncompleteError):
        seen_by(vault, stopped).rotate_tokens(WORKER, stop=stop)
    assert entries(vault, "leave out")[-1][1:3] == ("outcome", "failed")
    assert generations(vault) == NOT_CUT_OVER


def test_a_row_that_is_erased_meanwhile_is_passed_over(
    vault: FakeVault, workers: Sequence[uuid.UUID]
) -> None:
    """The page is read again, without the erased row."""
    for record_id in workers:
        flipped_bit(vault, record_id)
    erased = workers[1]

    def erasing(name: str, call: Callable[[], Any]) -> object:
        answer = call()
        if name == "named" and vault.database.records[erased].ciphertexts:
            forge(vault, erased, tokens={}, ciphertexts={}, token_generation=None)
        return answer

    assert seen_by(vault, erasing).rotate_tokens(WORKER).left_out == 4
    assert vault.database.records[erased].token_generation is None


@pytest.mark.parametrize(
    "vault", [DEFAULT], indirect=True
)  # rows of one event have the same tokens
def test_rows_planted_during_a_rotation_are_named_and_the_honest_row_is_not(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """Planted rows share the old token of the honest row and have other next tokens, or the other way round."""
    honest = vault.database.records[damaged]
    others = vault.database.records[other_than(vault, damaged)]

    def planting(name: str, call: Callable[[], Any]) -> object:
        if name == "compare":
            honest_now = vault.database.records[damaged]
            for record_id in workers:
                flipped_bit(vault, record_id)
                forge(
                    vault,
                    record_id,
                    tokens=dict(honest.tokens),
                    next_tokens={field: uuid.uuid4() for field in honest.tokens},
                )
            forge(
                vault,
                workers[0],
                tokens=dict(others.tokens),
                next_tokens=dict(honest_now.next_tokens or {}),
            )
        return call()

    with pytest.raises(DataError, match="do not map one to one, in at least 5 records") as caught:
        seen_by(vault, planting).rotate_tokens()
    named = {i for i in vault.database.records if str(i) in str(caught.value)}
    assert named == set(workers)
    assert hinted(caught.value) == WORKER, "there may be more of it under other keys"
    assert vault.rotate_tokens(hinted(caught.value)).left_out == len(workers)
    assert generations(vault) == CUT_OVER
    assert {i for i, r in vault.database.records.items() if not r.tokens} == set(workers)
    assert vault.database.records[damaged].next_tokens == honest.tokens


def test_a_mark_that_no_run_made_is_counted(vault: FakeVault, damaged: uuid.UUID) -> None:
    """A role that may update rows may remove next tokens: the report and the cut-over's entry have the number."""

    def taking_away(name: str, call: Callable[[], Any]) -> object:
        if name == "compare":
            forge(vault, damaged, next_tokens=None)
        return call()

    assert seen_by(vault, taking_away).rotate_tokens().left_out == 1
    assert "which leaves out 1 records" in entries(vault, "cut over")[0][-1]


def test_the_next_rotation_skips_rows_that_were_left_out(
    vault: FakeVault, damaged: uuid.UUID
) -> None:
    """Such a row does not open, and is not reported again."""
    flipped_bit(vault, damaged)
    vault.rotate_tokens(damaged)
    for key_id, key in list(vault.database.keys.items()):
        if key.state is KeyState.DECRYPT_ONLY:
            vault.database.set_state(key_id, KeyState.DESTROYED)
    for record_id in vault.database.records:
        forge(vault, record_id, next_tokens=None, next_token_generation=None)
    report = vault.rotate_tokens()
    assert (report.generation, report.rows, report.left_out) == (3, 6, 0)
