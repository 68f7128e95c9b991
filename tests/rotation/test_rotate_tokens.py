"""Rotation of the token keys: pending, dual write, backfill, check, cut-over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declarations import BOTH
from tests.kit.fakes.tap import Recorder
from tests.kit.fakes.vault import FakeVault, reveal_request
from tests.rotation.rotation_world import seen_by
from tests.rotation.token_world import (
    CUT_OVER,
    Watch,
    event,
    generations,
    generations_in_rows,
    texts_in,
    token_vault,
    watched,
)
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import Phase
from vault_etl.base.errors import AuditError, ConfigurationError, KeyUnavailableError
from vault_etl.crypto.keys import KeyState
from vault_etl.rotation import data_keys
from vault_etl.rotation.token_keys import TokenPlan, plan_tokens


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records in two ranges an event, three a page."""
    return token_vault(monkeypatch, declaration=request.param)


def test_every_row_has_new_tokens_and_keeps_its_old_tokens(vault: FakeVault) -> None:
    """New keys made the new tokens; the old tokens are kept beside them, and their keys are retired."""
    before = {r.record_id: dict(r.tokens) for r in vault.database.records.values()}
    old = {key.key_id for key in vault.keys.token_keys()}
    report = vault.rotate_tokens()
    assert (set(report.retired), report.generation, report.rows) == (old, 2, 7)
    assert set(report.created) == {key.key_id for key in vault.keys.token_keys()}
    assert generations(vault) == CUT_OVER
    for record in vault.database.records.values():
        assert record.next_tokens == before[record.record_id]
        assert not set(record.tokens.values()) & set(record.next_tokens.values())
    assert generations_in_rows(vault) == {(2, 1)}


def test_records_still_open_and_agree_with_their_tokens(vault: FakeVault) -> None:
    """A reveal makes the token again, with the new key."""
    vault.rotate_tokens()
    for record in vault.database.records.values():
        expected = texts_in(vault, record)
        revealed = vault.reveal()(reveal_request(record.record_id, *expected)).values
        assert {name: value.expose() for name, value in revealed.items() if value} == expected


def test_a_writer_in_each_phase_misses_no_duplicate(vault: FakeVault) -> None:
    """Before `pending`, while both tokens are written, in the backfill, before and after the cut-over."""
    watch = Watch(vault)
    writer, numbers = vault.writer(), iter(range(7, 1_000))
    pairs = set()

    def writing(_: str, call: Callable[[], Any]) -> object:
        answer = call()
        (message,) = vault.receive(event(next(numbers), vault.declaration))
        assert writer.write([message]).cause is None
        watch.look()
        newest = list(vault.database.records.values())[-1]
        pairs.add((newest.token_generation, newest.next_token_generation))
        return answer

    assert seen_by(vault, writing).rotate_tokens().generation == 2
    assert pairs == {(1, None), (1, 2), (2, None)}
    assert watch.looks > 40


def test_a_writer_with_old_tokenizers_makes_its_tokens_again(vault: FakeVault) -> None:
    """Across `pending`, and across `pending` and the cut-over: the fence finds other generations."""
    watch = Watch(vault)
    batches: list[int] = []

    def stopped(name: str, call: Callable[[], Any]) -> object:
        if name == "load":
            batches.append(1)
            if len(batches) == 1:
                vault.rotate_tokens()
        answer = call()
        watch.look()
        return answer

    (message,) = vault.receive(event(7, vault.declaration))
    assert seen_by(vault, stopped).writer().write([message]).cause is None
    assert len(batches) == 2
    newest = list(vault.database.records.values())[-1]
    assert (newest.token_generation, newest.next_token_generation) == (2, None)


def test_a_second_rotation_waits_for_room(vault: FakeVault) -> None:
    """A row holds two sets of tokens: the old generation must be destroyed first. No key is stored."""
    vault.rotate_tokens()
    before = dict(vault.database.keys)
    with pytest.raises(ConfigurationError):
        vault.rotate_tokens()
    assert vault.database.keys == before
    for key_id, key in before.items():
        if key.state is KeyState.DECRYPT_ONLY:
            vault.database.set_state(key_id, KeyState.DESTROYED)
    assert vault.rotate_tokens().generation == 3


def test_a_plan_counts_and_changes_nothing(vault: FakeVault) -> None:
    """The plan has the keys to replace and the rows that get a new token; for an interrupted rotation, the rest."""
    active = tuple(sorted(key.key_id for key in vault.keys.token_keys()))
    before = dict(vault.database.keys)
    assert plan_tokens(vault.keys, vault.tokens, vault.tokens) == TokenPlan(active, None, 7)
    assert vault.database.keys == before
    fills: list[str] = []

    def denied(name: str, call: Callable[[], Any]) -> object:
        fills.append(name)
        if fills.count("fill") > 1:
            raise KeyUnavailableError("denied")
        return call()

    with pytest.raises(KeyUnavailableError):
        seen_by(vault, denied).rotate_tokens()
    plan = plan_tokens(vault.keys, vault.tokens, vault.tokens)
    assert (plan.retire, plan.pending) == (active, 2)
    assert 0 < plan.rows < 7


def test_the_hint_without_token_keys_names_the_command(vault: FakeVault) -> None:
    """The hint names `keys init`."""
    vault.database.keys.clear()
    with pytest.raises(ConfigurationError) as caught:
        plan_tokens(vault.keys, vault.tokens, vault.tokens)
    assert "keys init" in (caught.value.hint or "")


def test_no_rotation_begins_without_an_intent(vault: FakeVault) -> None:
    """No key is made or stored, and no row is touched."""
    vault.audit.broken = {Phase.INTENT}
    keys, rows = dict(vault.database.keys), dict(vault.database.records)
    recorder = Recorder()
    with pytest.raises(AuditError):
        vault.tapped(recorder.tap).rotate_tokens()
    assert (vault.database.keys, vault.database.records) == (keys, rows)
    assert set(recorder.calls) <= {"token_keys", "count", "intend"}


def test_no_cut_over_is_made_without_its_own_entries(vault: FakeVault) -> None:
    """The entries belong to the same transaction; the next run cuts over."""

    def breaking(name: str, call: Callable[[], Any]) -> object:
        if name == "cut_over":
            vault.audit.broken = {Phase.OUTCOME}
        return call()

    with pytest.raises(AuditError):
        seen_by(vault, breaking).rotate_tokens()
    assert generations(vault) == {KeyState.ACTIVE: {1}, KeyState.PENDING: {2}}
    vault.audit.broken = set()
    assert vault.rotate_tokens().generation == 2


def test_a_rotation_is_three_entries_with_their_outcomes(vault: FakeVault) -> None:
    """The sample names its run and its keys; the cut-over names the generation. Ranges have entries elsewhere."""
    vault.rotate_tokens()
    fields = tuple(sorted(vault.declaration.field_names))
    entries = vault.database.audit[-6:]
    assert [(e.action, e.phase, e.decision) for e in entries] == [
        ("keys rotate", "intent", "allowed"),
        ("keys rotate", "intent", "allowed"),
        ("keys rotate", "outcome", "done"),
        ("keys cut-over", "intent", "allowed"),
        ("keys cut-over", "outcome", "done"),
        ("keys rotate", "outcome", "done"),
    ]
    assert all(entry.fields == fields for entry in entries)
    assert entries[1].ticket == str(entries[0].request_id)
    assert (entries[1].reason or "").startswith("a check of ")
    assert "generation 2" in (entries[3].reason or "")


def test_the_head_that_the_cut_over_wrote_is_signed(vault: FakeVault) -> None:
    """The head has its own signature: the last entry of the command is another head, and an auditor misses no head."""
    vault.rotate_tokens()
    (done,) = (
        e for e in vault.database.audit if (e.action, e.phase) == ("keys cut-over", "outcome")
    )
    assert vault.signed == [Head(done.seq, done.hash)]


def test_a_key_that_kms_refuses_ends_the_run(vault: FakeVault) -> None:
    """No row under that key would open: no row is named for that, and no cut-over is made."""
    watch = Watch(vault)

    def denying(name: str, call: Callable[[], Any]) -> object:
        answer = call()
        if name == "page":
            vault.kms.denied = {vault.declaration.field_names[-1]}
        return answer

    with pytest.raises(KeyUnavailableError):
        seen_by(vault, denying).rotate_tokens()
    assert generations(vault) == {KeyState.ACTIVE: {1}, KeyState.PENDING: {2}}
    assert vault.database.audit[-1].error_code == "key_unavailable"
    vault.kms.denied = set()
    watch.look()
    assert watched(vault, watch).rotate_tokens().generation == 2


def test_progress_counts_every_row(vault: FakeVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three rows at a time, in one range a table."""
    monkeypatch.setattr(data_keys, "ROWS_A_RANGE", 1_000)
    vault.rotate_tokens()
    assert sum(done for done, _ in vault.progress.steps) == 7
    assert max(done for done, _ in vault.progress.steps) == 3


def test_an_empty_vault_gets_new_keys_at_once() -> None:
    """An empty vault has no row to fill in or check."""
    report = FakeVault().rotate_tokens()
    assert (report.generation, report.rows, len(report.created)) == (2, 0, 2)
