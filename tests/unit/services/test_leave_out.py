"""Rows that are named to be left out: opened once more, and left out if they do not hold what their tokens say."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.fakes.clock import FakeStop
from tests.fakes.vault import FakeVault
from tests.unit.services.rotation_world import seen_by
from tests.unit.services.test_check_tokens import (
    AFTER,
    BEFORE,
    NOT_CUT_OVER,
    Damage,
    another_rows_token,
    flipped_bit,
    forged_token,
    missing_ciphertext,
    missing_token,
    other_than,
    rotate_with,
    unknown_key,
)
from tests.unit.services.token_world import (
    CUT_OVER,
    Watch,
    event,
    forge,
    generations,
    token_vault,
    watched,
)
from vault_etl.core.fields import Field
from vault_etl.core.keys import KeyState
from vault_etl.core.leave_out import LeaveOut
from vault_etl.errors import AuditError, DataError, IncompleteError, NotFoundError
from vault_etl.services.rotate_tokens import plan_tokens


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records in two ranges, three a page."""
    return token_vault(monkeypatch)


@pytest.fixture
def damaged(vault: FakeVault) -> uuid.UUID:
    """The record that something is wrong with."""
    return sorted(vault.database.records)[3]


@pytest.fixture
def workers(vault: FakeVault) -> Sequence[uuid.UUID]:
    """Five records more, under keys of the login `worker`."""
    before = set(vault.database.keys)
    ids = vault.store(*map(event, range(5)))
    for key_id in vault.database.keys.keys() - before:
        key = vault.database.keys[key_id]
        vault.database.keys[key_id] = dataclasses.replace(key, created_by="worker")
    return ids


WORKER = LeaveOut(login="worker")


def keys_of(vault: FakeVault, record_id: uuid.UUID) -> list[int]:
    """The keys that a record lies under."""
    ciphertexts = vault.database.records[record_id].ciphertexts.values()
    return [int.from_bytes(sealed[1:5], "big") for sealed in ciphertexts]


def hinted(error: DataError) -> LeaveOut:
    """What the hint says, which is one thing."""
    _, _, what = (error.hint or "").partition("--leave-out ")
    return LeaveOut.parse(what)


def entries(vault: FakeVault, word: str) -> list[tuple[uuid.UUID | None, str, str, str]]:
    """Those whose reason has this word: the record, the phase, the decision and the reason."""
    return [
        (e.record_id, e.phase, e.decision, e.reason)
        for e in vault.database.audit
        if word in e.reason
    ]


@pytest.mark.parametrize("damage", BEFORE)
def test_what_is_left_out_is_no_hindrance(
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
    """The row holds what its own tokens say, so it is not left out: it must not become a duplicate that is none."""
    with pytest.raises(DataError):
        rotate_with(vault, damage, damaged)
    assert vault.rotate_tokens(damaged).left_out == 0
    assert generations(vault) == CUT_OVER
    Watch(vault).look()


def test_a_whole_login_is_left_out_but_for_what_opens(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """Bad rows under the worker's keys go, good ones stay; the error told how to name them all."""
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


def test_bad_rows_elsewhere_are_not_taken_along(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """They are named as before, and nothing is cut over."""
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
    """No one key takes them all."""
    for record_id in (*workers[:2], damaged):
        flipped_bit(vault, record_id)
    with pytest.raises(DataError) as caught:
        vault.rotate_tokens()
    assert "--leave-out login=worker --leave-out login=fake" in (caught.value.hint or "")
    assert vault.rotate_tokens(WORKER, LeaveOut(login="fake")).left_out == 3


def test_rows_under_no_key_that_is_there_are_named_by_their_ids(
    vault: FakeVault, damaged: uuid.UUID
) -> None:
    """No criterion takes a row both of whose keys are unknown."""
    unknown_key(vault, damaged)
    ciphertexts = vault.database.records[damaged].ciphertexts
    device = ciphertexts[Field.DEVICE_ID]
    ciphertexts[Field.DEVICE_ID] = device[:1] + bytes(4) + device[5:]
    with pytest.raises(DataError) as caught:
        vault.rotate_tokens()
    assert (caught.value.hint or "").endswith("--leave-out ID")


def test_each_name_is_an_entry_of_its_own(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """Intent and outcome, the criterion in both reasons, and in the outcome's how many were left out."""
    flipped_bit(vault, damaged)
    flipped_bit(vault, workers[0])
    vault.rotate_tokens(damaged, WORKER)
    reason = "leave out of generation 2 of the tokens: "
    assert entries(vault, "leave out") == [
        (damaged, "intent", "allowed", f"{reason}{damaged}"),
        (damaged, "outcome", "done", f"{reason}{damaged}: 1 of 1 records"),
        (None, "intent", "allowed", f"{reason}login=worker"),
        (None, "outcome", "done", f"{reason}login=worker: 1 of 5 records"),
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


def test_what_names_no_record_is_not_found(vault: FakeVault) -> None:
    """A mistyped id, or a login without rows, is told before anything begins."""
    for what in (LeaveOut(record_id=uuid.uuid4()), WORKER):
        with pytest.raises(NotFoundError, match=str(what)):
            vault.rotate_tokens(min(vault.database.records), what)
    assert generations(vault) == {KeyState.ACTIVE: {1}}
    assert not vault.database.audit


def test_a_plan_counts_what_is_named_and_changes_nothing(
    vault: FakeVault, workers: Sequence[uuid.UUID]
) -> None:
    """Keys, logins and rows."""
    flipped_bit(vault, workers[0])
    before = dict(vault.database.records)
    (named,) = plan_tokens(vault.keys, vault.tokens, vault.tokens, [WORKER]).named
    assert (named.what, named.logins, named.rows) == (WORKER, ("worker",), 5)
    assert named.keys >= 2
    assert vault.database.records == before


def test_what_was_left_out_stays_so_when_it_is_gone_on_with(
    vault: FakeVault, workers: Sequence[uuid.UUID]
) -> None:
    """Killed behind the first page: the rest is named again, and what is marked is not opened again."""
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
    with pytest.raises(DataError, match="no next token in 2 records"):
        vault.rotate_tokens()
    assert vault.rotate_tokens(WORKER).left_out == 5
    assert [e[-1] for e in entries(vault, "leave out")][-1].endswith("5 of 5 records")


def test_it_stops_when_it_is_told_to(vault: FakeVault, workers: Sequence[uuid.UUID]) -> None:
    """Between two pages; that is no success, and its outcome says so."""
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
    """The page is read again, without it."""
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


def test_rows_planted_while_it_is_pending_are_named_and_not_the_honest_one(
    vault: FakeVault, workers: Sequence[uuid.UUID], damaged: uuid.UUID
) -> None:
    """They share its old token and have next ones of their own making, or the other way round."""
    honest = vault.database.records[damaged]
    others = vault.database.records[other_than(vault, damaged)]

    def planting(name: str, call: Callable[[], Any]) -> object:
        if name == "check":
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
    assert hinted(caught.value).key_id in keys_of(vault, workers[0])
    assert vault.rotate_tokens(hinted(caught.value)).left_out == len(workers)
    assert generations(vault) == CUT_OVER
    assert {i for i, r in vault.database.records.items() if not r.tokens} == set(workers)
    assert vault.database.records[damaged].next_tokens == honest.tokens


def test_a_mark_that_no_run_made_is_counted(vault: FakeVault, damaged: uuid.UUID) -> None:
    """Who may update rows may take next tokens away: the report and the cut-over's entry have the number."""

    def taking_away(name: str, call: Callable[[], Any]) -> object:
        if name == "check":
            forge(vault, damaged, next_tokens=None)
        return call()

    assert seen_by(vault, taking_away).rotate_tokens().left_out == 1
    assert "which leaves out 1 records" in entries(vault, "cut over")[0][-1]


def test_the_next_rotation_passes_over_what_was_left_out(
    vault: FakeVault, damaged: uuid.UUID
) -> None:
    """It does not open, and nobody is told again."""
    flipped_bit(vault, damaged)
    vault.rotate_tokens(damaged)
    for key_id, key in list(vault.database.keys.items()):
        if key.state is KeyState.DECRYPT_ONLY:
            vault.database.set_state(key_id, KeyState.DESTROYED)
    for record_id in vault.database.records:
        forge(vault, record_id, next_tokens=None, next_token_generation=None)
    report = vault.rotate_tokens()
    assert (report.generation, report.rows, report.left_out) == (3, 6, 0)
