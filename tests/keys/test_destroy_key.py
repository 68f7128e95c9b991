"""Destruction of a key: refused while the key is needed, finished after any interruption, final."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.kit.declared import IP, PERSONAL_FIELDS
from tests.kit.fakes.identity import FakeIdentity
from tests.kit.fakes.key_end import FakeKeyEnd
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.progress import FakeProgress
from tests.kit.fakes.tap import Breaker
from tests.kit.fakes.vault import FakeVault, rotate_request
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    IncompleteError,
    NotFoundError,
    UnavailableError,
)
from vault_etl.crypto.fields import QUARANTINE, SOURCE, FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys import destroy as clear_tokens
from vault_etl.keys.destroy import Cleared, Destroyed, KeyDestruction
from vault_etl.keys.make import make_unseen_key
from vault_etl.keys.needed import DestroyTargetFinder

DAY = dt.timedelta(hours=25)
"""A lease and an hour."""

DATA_CALLS, TOKEN_CALLS = 4, 9
"""Of all ports, in the destruction of a retired key, and of a generation."""


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Five records and a quarantined body; old tokens are cleared two rows at a time."""
    monkeypatch.setattr(clear_tokens, "PAGE_ROWS", 2)
    filled = FakeVault()
    filled.store(*(login_event(user_id=f"user-{n}") for n in range(5)))
    filled.writer().write(filled.receive(b"junk"))
    return filled


@pytest.fixture
def cut_over(vault: FakeVault) -> FakeVault:
    """The vault after a rotation of the token keys: generation 2 is active, tokens of generation 1 are kept."""
    vault.add_token_keys(2, KeyState.PENDING)
    for key_id in token_keys(vault, 1):
        vault.database.set_state(key_id, KeyState.DECRYPT_ONLY)
    for key_id in token_keys(vault, 2):
        vault.database.set_state(key_id, KeyState.ACTIVE)
    for record in list(vault.database.records.values()):
        vault.database.records[record.record_id] = record._replace(
            tokens={field: uuid.uuid4() for field in PERSONAL_FIELDS},
            next_tokens=record.tokens,
            token_generation=2,
            next_token_generation=1,
        )
    return vault


def destroy(
    vault: FakeVault, key_id: int, tap: Callable[[object], Any] = lambda port: port
) -> Destroyed:
    """Destroy in a new process."""
    end = tap(FakeKeyEnd(vault.database))
    keys_to_destroy = DestroyTargetFinder(vault.keys, end, PERSONAL_FIELDS)
    untapped = DestroyTargetFinder(vault.keys, FakeKeyEnd(vault.database), PERSONAL_FIELDS)
    to_destroy = untapped.find(key_id)
    if not to_destroy.keys:
        return Destroyed((), 0)
    destruction = KeyDestruction(
        audit=tap(vault.audit),
        keys_to_destroy=keys_to_destroy,
        ender=end,
        old_tokens=end,
        progress=FakeProgress(),
    )
    fields = to_destroy.fields
    request = audit_request(FakeIdentity(), Action.KEYS_DESTROY, str(to_destroy), fields=fields)
    return destruction(request, to_destroy)


def data_key(vault: FakeVault, field: FieldName) -> int:
    """The one data key of a field that is active."""
    (key_id,) = (
        key.key_id
        for key in vault.database.keys.values()
        if (key.purpose, key.field, key.state) == (KeyPurpose.DATA, field, KeyState.ACTIVE)
    )
    return key_id


def token_keys(vault: FakeVault, generation: int) -> tuple[int, ...]:
    """The keys of a generation."""
    keys = vault.database.keys.values()
    return tuple(sorted(key.key_id for key in keys if key.generation == generation))


def states(vault: FakeVault, *key_ids: int) -> set[KeyState]:
    """The states of these keys."""
    return {vault.database.keys[key_id].state for key_id in key_ids}


def test_a_retired_key_without_rows_ends(vault: FakeVault) -> None:
    """Its bytes are deleted; a second run has no key to destroy."""
    key_id = data_key(vault, IP)
    vault.rotate()
    assert destroy(vault, key_id) == Destroyed((key_id,), 0)
    assert vault.database.keys[key_id].wrapped_key is None
    assert destroy(vault, key_id) == Destroyed((), 0)


@pytest.mark.parametrize(
    ("field", "count"), [(IP, "5 values of records"), (QUARANTINE, "1 quarantined bod")]
)
def test_a_sealed_value_keeps_its_key(vault: FakeVault, field: FieldName, count: str) -> None:
    """The error has the count, for a key of any state; a failed outcome is on the record."""
    key_id = data_key(vault, field)
    for _ in range(2):
        with pytest.raises(ConfigurationError, match=count):
            destroy(vault, key_id)
        vault.keys.retire_data_keys(rotate_request(), [field])
    assert vault.database.keys[key_id].wrapped_key is not None
    assert vault.database.audit[-1].error_code == "failed"


def test_a_running_lease_keeps_its_key(vault: FakeVault) -> None:
    """When the lease is over, the key is retired and destroyed."""
    key = vault.leases().data_key(QUARANTINE, 1)
    with pytest.raises(ConfigurationError, match="needed: 1 running lease"):
        destroy(vault, key.key_id)
    assert states(vault, key.key_id) == {KeyState.ACTIVE}
    vault.clock.jump(DAY)
    assert destroy(vault, key.key_id) == Destroyed((key.key_id,), 0)


def test_an_expired_key_is_retired_before_anything_is_counted(vault: FakeVault) -> None:
    """A batch that passed the fence just before the lease ran out is committed by then, and counted."""
    key_id = data_key(vault, IP)
    vault.clock.jump(DAY)
    calls: list[tuple[str, KeyState]] = []

    class Watched(FakeKeyEnd):
        def of_data_key(self, key_id: int) -> Any:  # noqa: ANN401 - as the fake's
            calls.append(("count", vault.database.keys[key_id].state))
            return super().of_data_key(key_id)

    with pytest.raises(ConfigurationError, match="5 values"):
        destroy(
            vault, key_id, lambda p: Watched(vault.database) if isinstance(p, FakeKeyEnd) else p
        )
    assert calls == [("count", KeyState.DECRYPT_ONLY)]


def test_a_lease_that_ends_between_two_reads_is_reported(vault: FakeVault) -> None:
    """No key is destroyed, the report claims none, and the next run finishes."""
    key = vault.leases().data_key(IP, 1)

    class Late(FakeKeyEnd):
        def retire_expired(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
            retired = super().retire_expired(request, key_ids)
            vault.clock.jump(DAY)
            return retired

    with pytest.raises(IncompleteError, match="changed meanwhile"):
        destroy(
            vault, key.key_id, lambda p: Late(vault.database) if isinstance(p, FakeKeyEnd) else p
        )
    assert states(vault, key.key_id) == {KeyState.ACTIVE}
    assert destroy(vault, key.key_id) == Destroyed((key.key_id,), 0)


def test_an_unknown_key_is_not_found(vault: FakeVault) -> None:
    """A key that is found names the keys that are destroyed with it."""
    keys_to_destroy = DestroyTargetFinder(vault.keys, FakeKeyEnd(vault.database), PERSONAL_FIELDS)
    with pytest.raises(NotFoundError):
        keys_to_destroy.find(1)
    for key_id in token_keys(vault, 1):
        found = keys_to_destroy.find(key_id)
        assert (found.key_ids, found.fields) == (token_keys(vault, 1), PERSONAL_FIELDS)


def test_the_source_key_does_not_end(vault: FakeVault) -> None:
    """Every later load of a file needs it."""
    key = make_unseen_key(vault.kms, vault.kms, KeyPurpose.SOURCE, SOURCE)
    vault.keys.store(key, KeyState.ACTIVE)
    with pytest.raises(ConfigurationError, match="is the source key"):
        DestroyTargetFinder(vault.keys, FakeKeyEnd(vault.database), PERSONAL_FIELDS).find(
            key.key_id
        )


def test_a_generation_goes_with_its_old_tokens(cut_over: FakeVault) -> None:
    """Old tokens of every row are cleared page by page; current tokens stay."""
    first = token_keys(cut_over, 1)
    tokens = {r.record_id: dict(r.tokens) for r in cut_over.database.records.values()}
    assert destroy(cut_over, first[1]) == Destroyed(first, 5)
    assert states(cut_over, *first) == {KeyState.DESTROYED}
    assert states(cut_over, *token_keys(cut_over, 2)) == {KeyState.ACTIVE}
    for record in cut_over.database.records.values():
        assert (record.next_tokens, record.next_token_generation) == (None, None)
        assert record.tokens == tokens[record.record_id]
    assert destroy(cut_over, first[0]) == Destroyed((), 0)


@pytest.mark.parametrize("state", [KeyState.ACTIVE, KeyState.PENDING])
def test_a_generation_in_use_is_refused(cut_over: FakeVault, state: KeyState) -> None:
    """The tokens of the rows do not matter, and none is cleared."""
    for key_id in token_keys(cut_over, 1):
        cut_over.database.set_state(key_id, state)
    with pytest.raises(ConfigurationError, match=f"is {state}"):
        destroy(cut_over, token_keys(cut_over, 1)[0])
    assert all(record.next_tokens for record in cut_over.database.records.values())


def test_a_generation_that_rows_have_tokens_of_is_refused(cut_over: FakeVault) -> None:
    """The error has the count, before any token is cleared."""
    record = next(iter(cut_over.database.records.values()))
    cut_over.database.records[record.record_id] = record._replace(token_generation=1)
    with pytest.raises(ConfigurationError, match="needed: 1 rows with its tokens"):
        destroy(cut_over, token_keys(cut_over, 1)[0])
    assert all(record.next_tokens for record in cut_over.database.records.values())


@pytest.mark.parametrize("swapped", ["token_generation", "next_token_generation"])
def test_rows_that_change_under_the_pages_are_found(cut_over: FakeVault, swapped: str) -> None:
    """A cut-over in the middle moves old tokens to rows behind the pages: a second count refuses."""

    class Swapped(FakeKeyEnd):
        def clear(self, generation: int, after: uuid.UUID | None, limit: int) -> Cleared:
            done = super().clear(generation, after, limit)
            if done.last is None:
                record = next(iter(cut_over.database.records.values()))
                changed = record._replace(**{swapped: generation})  # type: ignore[arg-type]
                cut_over.database.records[record.record_id] = changed
            return done

    error = ConfigurationError if swapped == "token_generation" else IncompleteError
    with pytest.raises(error):
        destroy(
            cut_over,
            token_keys(cut_over, 1)[0],
            lambda p: Swapped(cut_over.database) if isinstance(p, FakeKeyEnd) else p,
        )
    assert states(cut_over, *token_keys(cut_over, 1)) == {KeyState.DECRYPT_ONLY}


def test_the_sweeps_break_every_call(cut_over: FakeVault) -> None:
    """The next tests break as many calls as they claim."""
    expected = {retired(cut_over): DATA_CALLS, token_keys(cut_over, 1)[0]: TOKEN_CALLS}
    for key_id, calls in expected.items():
        breaker = Breaker(10**9, UnavailableError("away"))
        destroy(cut_over, key_id, breaker.tap)
        assert breaker.calls == calls


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(DATA_CALLS))
def test_a_data_key_ends_wherever_it_was_interrupted(
    cut_over: FakeVault, at: int, after: bool
) -> None:
    """The next run finishes."""
    interrupted(cut_over, retired(cut_over), at, after=after)


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(TOKEN_CALLS))
def test_a_generation_ends_wherever_it_was_interrupted(
    cut_over: FakeVault, at: int, after: bool
) -> None:
    """No old token is left beside keys that are gone."""
    interrupted(cut_over, token_keys(cut_over, 1)[0], at, after=after)
    assert not any(record.next_tokens for record in cut_over.database.records.values())


def interrupted(vault: FakeVault, key_id: int, at: int, *, after: bool) -> None:
    """Break one call, then run it again."""
    breaker = Breaker(at, UnavailableError("away"), after=after)
    with pytest.raises((UnavailableError, AuditError)):
        destroy(vault, key_id, breaker.tap)
    destroy(vault, key_id)
    assert states(vault, key_id) == {KeyState.DESTROYED}


def retired(vault: FakeVault) -> int:
    """A retired data key that nothing needs."""
    key = vault.leases().data_key(IP, 1)
    vault.database.set_state(key.key_id, KeyState.DECRYPT_ONLY)
    return key.key_id
