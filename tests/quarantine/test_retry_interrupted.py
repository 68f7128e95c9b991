"""Retries that are interrupted, or that meet rotations, erasures and new messages."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.quarantined import quarantine
from tests.kit.fakes.tap import Breaker, Tap
from tests.kit.fakes.vault import FakeVault, rotate_request
from tests.quarantine.retry_world import (
    EVERY_ADDRESS,
    addresses,
    numbers,
    request,
    retry,
    run,
    seven_messages,
)
from vault_etl.base.errors import (
    AuditError,
    IncompleteError,
    UnavailableError,
)
from vault_etl.crypto.ciphertext import Ciphertext
from vault_etl.crypto.keys import KeyState
from vault_etl.records.fenced_writes import MAX_FENCE_TRIES

CALLS = 27
"""Of all ports, in the retry of the fixture below."""


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Return a vault with five messages that pass and two that fail, in batches of three."""
    return seven_messages(monkeypatch)


def test_rows_that_the_database_refuses_stay(vault: FakeVault) -> None:
    """Found by halving, however many there are; every other row of their batches moves."""
    vault.loader.refused_users = frozenset({"user-1", "user-3"})
    report = run(vault)
    assert numbers(report) == (7, 3, 4)
    users = {record.subject for record in vault.database.records.values()}
    assert users == {"user-0", "user-2", "user-4"}


def test_an_erasure_during_a_retry_wins(vault: FakeVault) -> None:
    """No part of the body is stored, and it does not count as moved."""
    erased = min(vault.database.quarantine)

    def erasing(name: str, call: Callable[[], Any]) -> object:
        if name == "move":
            vault.database.erased_bodies.add(erased)
        return call()

    report = retry(vault, lambda part: Tap(part, erasing)).move(request())
    assert report.retried == 7
    assert erased not in vault.database.records
    assert erased in vault.database.quarantine
    assert report.moved == len(vault.database.records)


def test_retired_keys_seal_no_record(vault: FakeVault) -> None:
    """The fence refuses the batch, and the batch is sealed again under other keys."""
    retired: list[int] = []

    def retiring(name: str, call: Callable[[], Any]) -> object:
        if name == "move" and not retired:
            retired.extend(vault.keys.retire_data_keys(rotate_request(), PERSONAL_FIELDS))
        return call()

    report = retry(vault, lambda part: Tap(part, retiring)).move(request())
    assert len(retired) == 2
    assert numbers(report) == (7, 5, 2)
    sealed = [c for field, _, _, c in vault.database.ciphertexts() if field in PERSONAL_FIELDS]
    assert not {Ciphertext.parse(stored).key_id for stored in sealed} & set(retired)
    assert addresses(vault) == EVERY_ADDRESS


def test_a_generation_that_becomes_pending_meanwhile_is_written_too(vault: FakeVault) -> None:
    """Its tokens are made after the fence refuses the batch."""

    def pending(name: str, call: Callable[[], Any]) -> object:
        if name == "move" and not any(k.generation == 2 for k in vault.database.keys.values()):
            vault.add_token_keys(2, KeyState.PENDING)
        return call()

    assert retry(vault, lambda part: Tap(part, pending)).move(request()).moved == 5
    assert {r.next_token_generation for r in vault.database.records.values()} == {2}


def test_keys_that_change_under_every_try_end_the_run(vault: FakeVault) -> None:
    """Safe to run again, when the rotation is over."""
    tries = []

    def retiring(name: str, call: Callable[[], Any]) -> object:
        if name == "move":
            tries.append(vault.keys.retire_data_keys(rotate_request(), PERSONAL_FIELDS))
        return call()

    with pytest.raises(IncompleteError):
        retry(vault, lambda part: Tap(part, retiring)).move(request())
    assert len(tries) == MAX_FENCE_TRIES
    assert numbers(run(vault)) == (7, 5, 2)


def test_the_sweep_breaks_every_call(vault: FakeVault) -> None:
    """The sweep of the next test is complete."""
    breaker = Breaker(10**9, UnavailableError("away"))
    retry(vault, breaker.tap).move(request())
    assert breaker.calls == CALLS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(CALLS))
def test_a_retry_that_was_interrupted_goes_on(vault: FakeVault, at: int, after: bool) -> None:
    """Wherever it stopped: every message is a record or in quarantine, never both and never neither."""
    ids = set(vault.database.quarantine)
    breaker = Breaker(at, UnavailableError("away"), after=after)
    with pytest.raises((UnavailableError, AuditError)):
        retry(vault, breaker.tap).move(request())
    records, left = set(vault.database.records), set(vault.database.quarantine)
    assert (records | left, records & left) == (ids, set())
    assert run(vault).still_quarantined == 2
    assert addresses(vault) == EVERY_ADDRESS


def test_a_message_that_is_quarantined_meanwhile_is_not_lost(vault: FakeVault) -> None:
    """A new message is retried or left for the next run, and no message is lost."""
    late: list[uuid.UUID] = []

    def arriving(name: str, call: Callable[[], Any]) -> object:
        if name == "move" and not late:
            late.extend(quarantine(vault, login_event(ip="198.51.100.99")))
        return call()

    retry(vault, lambda part: Tap(part, arriving)).move(request())
    run(vault)
    assert addresses(vault) == sorted([*EVERY_ADDRESS, b"198.51.100.99"])
