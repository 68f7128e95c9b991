"""Destruction of all unused keys: no needed key ends, and a run continues where another was killed."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.kit.declared import DEVICE_ID, IP
from tests.kit.fakes.identity import FakeIdentity
from tests.kit.fakes.key_end import FakeKeyEnd
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.progress import FakeProgress
from tests.kit.fakes.tap import Breaker, Recorder
from tests.kit.fakes.vault import FakeVault
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import AuditError, UnavailableError
from vault_etl.crypto.fields import QUARANTINE, FieldName
from vault_etl.crypto.keys import KeyState
from vault_etl.keys import destroy as destroy_unused_keys
from vault_etl.keys.destroy import UnusedKeyDestruction, unused_keys

DAY = dt.timedelta(hours=25)
"""A lease and an hour."""


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Two retired keys and three expired ones that nothing needs; two that are needed; two to a page."""
    monkeypatch.setattr(destroy_unused_keys, "PAGE_KEYS", 2)
    filled = FakeVault()
    filled.store(login_event())
    for field in (IP, QUARANTINE):
        filled.database.set_state(new_key(filled, field), KeyState.DECRYPT_ONLY)
    for _ in range(3):
        new_key(filled, DEVICE_ID)
    filled.clock.jump(DAY)
    return filled


def new_key(vault: FakeVault, field: FieldName) -> int:
    """An active key, of a process of its own."""
    return vault.leases().data_key(field, 1).key_id


def destroy(
    vault: FakeVault, tap: Callable[[object], Any] = lambda port: port, end: object = None
) -> tuple[int, ...]:
    """Destroy in a new process."""
    unused = unused_keys(vault.keys)
    request = audit_request(FakeIdentity(), Action.KEYS_DESTROY, str(unused), fields=unused.fields)
    return UnusedKeyDestruction(
        audit=tap(vault.audit),
        lister=tap(vault.keys),
        ender=tap(end or FakeKeyEnd(vault.database)),
        progress=FakeProgress(),
    )(request, unused)


def in_state(vault: FakeVault, state: KeyState) -> set[int]:
    """The data keys in this state."""
    keys = vault.database.keys.values()
    return {key.key_id for key in keys if key.state is state and key.generation is None}


def test_unneeded_keys_end(vault: FakeVault) -> None:
    """They end page by page, under one entry; a second run finds none."""
    needed = {u.key.key_id for u in vault.keys.usage() if u.rows and u.key.generation is None}
    running = new_key(vault, IP)
    unused = unused_keys(vault.keys)
    recorder = Recorder()
    assert destroy(vault, recorder.tap) == unused.key_ids
    assert in_state(vault, KeyState.DESTROYED) == set(unused.key_ids)
    assert in_state(vault, KeyState.ACTIVE) == {running, *needed}
    assert unused.fields == (DEVICE_ID, IP, QUARANTINE)
    calls = ["intend", *["retire_expired"] * 2, "usage", *["destroy"] * 3, "conclude"]
    assert recorder.calls == calls
    assert unused_keys(vault.keys).keys == ()


def test_a_key_that_gains_a_value_before_it_is_retired_stays(vault: FakeVault) -> None:
    """A batch had passed the fence before the lease ran out: the count comes after the retirement."""
    late = unused_keys(vault.keys).keys[-1].key_id
    assert vault.database.keys[late].state is KeyState.ACTIVE

    class Late(FakeKeyEnd):
        def retire_expired(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
            retired = super().retire_expired(request, key_ids)
            if late in key_ids:
                plant(vault, late)
            return retired

    ended = destroy(vault, end=Late(vault.database))
    assert len(ended) == 4
    assert late not in ended
    assert vault.database.keys[late].state is KeyState.DECRYPT_ONLY


def test_only_the_keys_of_the_question_end(vault: FakeVault) -> None:
    """A key that became unused after the question stays."""
    unused = unused_keys(vault.keys)
    later = new_key(vault, IP)
    vault.database.set_state(later, KeyState.DECRYPT_ONLY)
    request = audit_request(FakeIdentity(), Action.KEYS_DESTROY, str(unused))
    run = UnusedKeyDestruction(
        audit=vault.audit,
        lister=vault.keys,
        ender=FakeKeyEnd(vault.database),
        progress=FakeProgress(),
    )
    assert later not in run(request, unused)
    assert vault.database.keys[later].state is KeyState.DECRYPT_ONLY


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(8))
def test_the_next_run_finishes_an_interrupted_run(vault: FakeVault, at: int, after: bool) -> None:
    """The interruption is at each call in turn."""
    wanted = set(unused_keys(vault.keys).key_ids)
    breaker = Breaker(at, UnavailableError("away"), after=after)
    with pytest.raises((UnavailableError, AuditError)):
        destroy(vault, breaker.tap)
    destroy(vault)
    assert in_state(vault, KeyState.DESTROYED) == wanted


def plant(vault: FakeVault, key_id: int) -> None:
    """Store a value under this key, in the place of a record's."""
    record = next(iter(vault.database.records.values()))
    ciphertext = record.ciphertexts[DEVICE_ID]
    record.ciphertexts[DEVICE_ID] = ciphertext[:1] + key_id.to_bytes(4, "big") + ciphertext[5:]
