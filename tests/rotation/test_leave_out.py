"""Rows named to be left out: opened once more, and left out if they do not agree with their tokens."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.kit.declarations import BOTH
from tests.kit.declared import IP
from tests.kit.fakes.vault import FakeVault
from tests.rotation.damage import (
    AFTER,
    BEFORE,
    NOT_CUT_OVER,
    Damage,
    another_rows_token,
    flipped_bit,
    forged_token,
    missing_ciphertext,
    missing_token,
    other_field,
    rotate_with,
)
from tests.rotation.rotation_world import seen_by
from tests.rotation.token_world import (
    CUT_OVER,
    Watch,
    generations,
    token_vault,
    watched,
)
from tests.rotation.workers_rows import WORKER, entries, hinted, keys_of, store_of_worker
from vault_etl.base.errors import AuditError, DataError, NotFoundError
from vault_etl.crypto.keys import KeyState
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.token_keys import plan_tokens


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


@pytest.mark.parametrize("damage", BEFORE)
def test_a_row_that_is_left_out_does_not_block(
    vault: FakeVault, damaged: uuid.UUID, damage: Damage
) -> None:
    """The row has no token of the new generation; all others are watched, and `find` finds them."""
    watch = Watch(vault, {damaged})
    damage(vault, damaged)
    assert vault.rotate_tokens(damaged).left_out == 1
    assert generations(vault) == CUT_OVER
    assert not vault.database.records[damaged].tokens
    if damage not in {forged_token, another_rows_token, missing_token, missing_ciphertext}:
        watch.look()


@pytest.mark.parametrize("damage", AFTER[:3])
def test_a_next_token_that_was_changed_is_made_again(
    vault: FakeVault, damaged: uuid.UUID, damage: Damage
) -> None:
    """The row agrees with its own tokens, so it is not left out and does not become a false duplicate."""
    with pytest.raises(DataError):
        rotate_with(vault, damage, damaged)
    assert vault.rotate_tokens(damaged).left_out == 0
    assert generations(vault) == CUT_OVER
    Watch(vault).look()


def test_a_whole_login_is_left_out_except_rows_that_open(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """Bad rows under the worker's keys go, good rows stay; the error named the criterion for all of them."""
    bad = set(workers[:3])
    for record_id in bad:
        flipped_bit(vault, record_id)
    with pytest.raises(DataError, match="no next token in 3 records") as caught:
        vault.rotate_tokens()
    assert "3 of them under keys of worker" in str(caught.value)
    assert str(damaged) not in str(caught.value)
    assert hinted(caught.value).key_id in keys_of(vault, workers[0])
    watch = Watch(vault, bad)
    report = watched(vault, watch).rotate_tokens(WORKER)
    assert (report.left_out, report.generation) == (3, 2)
    assert {i for i, r in vault.database.records.items() if not r.tokens} == bad
    assert vault.database.audit[-1].decision == "done"
    (cut_over, _) = entries(vault, "cut over")
    assert "which leaves out 3 records" in cut_over[-1]


def test_bad_rows_outside_the_criterion_stay(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """They are named as before, and no cut-over is made."""
    for record_id in (workers[0], damaged):
        flipped_bit(vault, record_id)
    with pytest.raises(DataError, match=str(damaged)) as caught:
        vault.rotate_tokens(WORKER)
    assert str(workers[0]) not in str(caught.value)
    assert generations(vault) == NOT_CUT_OVER
    assert vault.rotate_tokens(damaged).left_out == 2


def test_several_logins_are_all_in_the_hint(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """No single key covers all rows."""
    for record_id in (*workers[:2], damaged):
        flipped_bit(vault, record_id)
    with pytest.raises(DataError) as caught:
        vault.rotate_tokens()
    assert "--leave-out login=worker --leave-out login=fake" in (caught.value.hint or "")
    assert vault.rotate_tokens(WORKER, LeaveOut(login="fake")).left_out == 3


def test_one_login_that_covers_all_rows_is_named(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """One of three rows has a field under another login's key, as `keys rotate` leaves it; no key covers all."""
    good = vault.database.records[damaged].ciphertexts
    for record_id in workers[:3]:
        flipped_bit(vault, record_id)
    other = other_field(vault, damaged)
    vault.database.records[workers[0]].ciphertexts[other] = good[other]
    vault.database.records[workers[1]].ciphertexts[IP] = good[IP]
    with pytest.raises(DataError) as caught:
        vault.rotate_tokens()
    assert "; 2 of them under keys of fake" in str(caught.value)
    assert hinted(caught.value) == WORKER


def test_rows_under_unknown_keys_are_named_by_their_ids(
    vault: FakeVault, damaged: uuid.UUID
) -> None:
    """No criterion covers a row whose keys are all unknown."""
    ciphertexts = vault.database.records[damaged].ciphertexts
    for field, sealed in ciphertexts.items():
        ciphertexts[field] = sealed[:1] + bytes(4) + sealed[5:]
    with pytest.raises(DataError) as caught:
        vault.rotate_tokens()
    assert (caught.value.hint or "").endswith("--leave-out ID")


def test_each_criterion_is_an_entry_of_its_own(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """Intent and outcome have the criterion in their reasons; the outcome has the data keys and the number of rows."""
    flipped_bit(vault, damaged)
    flipped_bit(vault, workers[0])
    vault.rotate_tokens(damaged, WORKER)
    reason = "leave out of generation 2 of the tokens: "
    found = entries(vault, "leave out")
    keys = [re.search(r", under data keys [0-9]+(, [0-9]+)*(?=: )", each[-1]) for each in found]
    one, five = (each[0] for each in keys if each is not None)
    assert found == [
        (damaged, "intent", "allowed", f"{reason}{damaged}"),
        (damaged, "outcome", "done", f"{reason}{damaged}{one}: 1 of 1 records"),
        (None, "intent", "allowed", f"{reason}login=worker"),
        (None, "outcome", "done", f"{reason}login=worker{five}: 1 of 5 records"),
    ]


def test_no_row_is_changed_without_its_intent(
    vault: FakeVault, workers: Sequence[uuid.UUID]
) -> None:
    """The entry is written before the first row is read."""
    flipped_bit(vault, workers[0])
    with pytest.raises(DataError):
        vault.rotate_tokens()
    before, intents = dict(vault.database.records), 0

    def refused(name: str, call: Callable[[], Any]) -> object:
        nonlocal intents
        intents += name == "intend"
        if intents == 2:
            raise AuditError("the audit log could not be written")
        return call()

    with pytest.raises(AuditError):
        seen_by(vault, refused).rotate_tokens(WORKER)
    assert intents == 2
    assert vault.database.records == before


def test_a_name_of_no_record_is_not_found(vault: FakeVault) -> None:
    """A mistyped id, or a login without rows, is reported before any change."""
    for what in (LeaveOut(record_id=uuid.uuid4()), WORKER):
        with pytest.raises(NotFoundError, match=str(what)):
            vault.rotate_tokens(min(vault.database.records), what)
    assert generations(vault) == {KeyState.ACTIVE: {1}}
    assert not vault.database.audit


def test_a_plan_counts_the_named_rows_and_changes_nothing(
    vault: FakeVault, workers: Sequence[uuid.UUID]
) -> None:
    """The plan has the keys, logins and rows."""
    flipped_bit(vault, workers[0])
    before = dict(vault.database.records)
    (named,) = plan_tokens(vault.keys, vault.tokens, vault.tokens, [WORKER]).named
    assert (named.what, named.logins, named.rows) == (WORKER, ("worker",), 5)
    assert named.keys >= 2
    assert vault.database.records == before
