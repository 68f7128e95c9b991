"""Rewrapping of keys: each key by itself, on the record, proven first, and never over another process's bytes."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.kit.declared import FIELDS, IP
from tests.kit.fakes.identity import FakeIdentity
from tests.kit.fakes.key_service import arn_of
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.tap import Breaker
from tests.kit.fakes.vault import FakeVault, reveal_request
from tests.kit.fakes.wrapped_keys import FakeWrappedKeys
from vault_etl.audit.entries import Action, Phase
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    IntegrityError,
    UnavailableError,
)
from vault_etl.crypto.fields import QUARANTINE, KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.rewrap import (
    KeyRewrap,
    Rewrap,
    RewrapReport,
    RewrapTarget,
    WrappedKeys,
    to_move,
)

OTHER = "arn:aws:kms:eu-west-1:000000000000:key/other"
CALLS = 40
"""Of all ports, in a run over the keys of the fixture below."""

Keys = Sequence[StoredKey]


@pytest.fixture
def vault() -> FakeVault:
    """A record, a quarantined body, and so two token keys and three data keys; one of them twice."""
    filled = FakeVault()
    filled.store(login_event())
    filled.writer().write(filled.receive(b"junk"))
    filled.leases().data_key(IP, 1)
    return filled


def rewrap(
    vault: FakeVault, target: str | None = None, tap: Callable[[object], Any] = lambda port: port
) -> RewrapReport:
    """Rewrap in a new process."""
    keys: WrappedKeys = tap(FakeWrappedKeys(vault.database))
    seen = keys.live()
    if target is not None:
        seen = to_move(seen, KeyPurpose.DATA, target)
    return run(vault, keys, seen, target)


def run(vault: FakeVault, keys: WrappedKeys, seen: Keys, target: str | None) -> RewrapReport:
    """A run over these keys, which were read before."""

    def begin(_: uuid.UUID) -> KeyRewrap:
        return KeyRewrap(vault.audit, vault.kms, vault.kms, keys)

    return Rewrap(begin, FakeIdentity(), vault.progress)(seen, target)


def blobs(vault: FakeVault) -> dict[int, bytes | None]:
    """The wrapped bytes of every key."""
    return {key.key_id: key.wrapped_key for key in vault.database.keys.values()}


def opens(vault: FakeVault) -> bool:
    """Say whether the record is revealed."""
    (record_id,) = vault.database.records
    return all(vault.reveal()(reveal_request(record_id)).values.values())


def test_every_key_gets_new_bytes_and_stays_what_it_is(vault: FakeVault) -> None:
    """Only the wrapped bytes of the row change, and sealed values still open."""
    before = dict(vault.database.keys)
    report = rewrap(vault)
    assert report == RewrapReport(rewrapped=6)
    for key_id, key in vault.database.keys.items():
        assert key.wrapped_key != before[key_id].wrapped_key
        assert dataclasses.replace(key, wrapped_key=before[key_id].wrapped_key) == before[key_id]
    assert opens(vault)
    assert sum(done for done, _ in vault.progress.steps) == 6


def test_a_rewrapped_key_has_two_entries(vault: FakeVault) -> None:
    """They name purpose, id and field, and each key has a request of its own."""
    rewrap(vault)
    entries = [entry for entry in vault.database.audit if entry.action == Action.KEYS_REWRAP]
    assert [entry.phase for entry in entries] == 6 * [Phase.INTENT, Phase.OUTCOME]
    assert len({entry.request_id for entry in entries}) == 6
    assert {(entry.reason, *entry.fields) for entry in entries} == {
        (f"{key.purpose} key {key.key_id} of {key.field}", key.field)
        for key in vault.database.keys.values()
    }


def test_a_key_of_each_purpose_and_field_is_proven(vault: FakeVault) -> None:
    """Proof takes three calls, five times: the old bytes, the new bytes, and these under another context."""
    vault.kms.unwrapped.clear()
    rewrap(vault)
    assert len(vault.kms.unwrapped) == 3 * 5
    assert len(set(vault.kms.unwrapped)) == 2 * 5


def test_a_caller_who_may_open_no_key_proves_none(vault: FakeVault) -> None:
    """Keys that the caller may not open are reported as unproven, not as errors; KMS is asked once for each kind."""
    vault.kms.denied = {IP, QUARANTINE}
    vault.kms.unwrapped.clear()
    report = rewrap(vault)
    assert (report.rewrapped, report.refused) == (6, [])
    assert report.unproven == {
        (KeyPurpose.DATA, IP),
        (KeyPurpose.DATA, QUARANTINE),
        (KeyPurpose.TOKEN, IP),
    }
    assert len(vault.kms.unwrapped) == 3 + 2 * 3


def test_bytes_that_do_not_open_are_not_written(vault: FakeVault) -> None:
    """The run ends at the first such key, and is on the record as failed."""
    before = blobs(vault)
    vault.kms.garbles = True
    with pytest.raises(IntegrityError):
        rewrap(vault)
    assert blobs(vault) == before
    assert [entry.error_code for entry in vault.database.audit][-1] == "integrity"


def test_a_denial_of_the_new_bytes_alone_is_no_excuse(vault: FakeVault) -> None:
    """A caller who opened the old bytes must open the new ones: an emulator denies damaged bytes too."""
    before = blobs(vault)
    unwrap, opened = vault.kms.unwrap, []

    def denies_what_is_new(key: StoredKey) -> object:
        opened.append(key)
        vault.kms.denied = set() if key.wrapped_key == before[key.key_id] else set(FIELDS)
        return unwrap(key)

    vault.kms.unwrap = denies_what_is_new  # type: ignore[method-assign,assignment]
    with pytest.raises(IntegrityError):
        rewrap(vault)
    assert blobs(vault) == before
    assert len(opened) == 2


def test_a_key_that_is_not_the_one_of_its_row_is_not_written(vault: FakeVault) -> None:
    """Its fingerprint shows it before its bytes are overwritten; the other keys are rewrapped."""
    key = FakeWrappedKeys(vault.database).live()[0]
    vault.database.keys[key.key_id] = dataclasses.replace(key, fingerprint=b"8 bytes!")
    before = blobs(vault)
    report = rewrap(vault)
    after = blobs(vault)
    assert report.at_fault == [key.key_id]
    assert {key_id for key_id in before if before[key_id] == after[key_id]} == {key.key_id}


def test_a_kms_that_ignores_the_context_is_found_out(vault: FakeVault) -> None:
    """The proof fails before any byte is written."""
    before = blobs(vault)
    unwrap, stored = vault.kms.unwrap, vault.database.keys
    vault.kms.unwrap = lambda key: unwrap(  # type: ignore[method-assign]
        key if key.key_id in stored else dataclasses.replace(key, key_id=key.key_id - 1)
    )
    with pytest.raises(ConfigurationError, match="ignores the encryption context"):
        rewrap(vault)
    assert blobs(vault) == before


def test_a_key_that_kms_refuses_is_named_and_the_next_one_is_proven(vault: FakeVault) -> None:
    """The other keys are rewrapped; another key of the field takes its place for the proof."""
    first = next(
        key
        for key in FakeWrappedKeys(vault.database).live()
        if (key.purpose, key.field) == (KeyPurpose.DATA, IP)
    )
    vault.database.keys[first.key_id] = dataclasses.replace(first, wrapped_key=b"damaged" * 9)
    vault.kms.unwrapped.clear()
    report = rewrap(vault)
    assert (report.rewrapped, report.at_fault) == (5, [first.key_id])
    assert vault.database.keys[first.key_id].wrapped_key == b"damaged" * 9
    assert len(vault.kms.unwrapped) == 3 * 5


def test_a_denied_kind_of_key_is_not_asked_for_again(vault: FakeVault) -> None:
    """Policies tell KMS key, purpose and field apart: the second key of `ip` would be denied too."""
    vault.kms.denied_rewraps = {IP}
    report = rewrap(vault)
    refused = {key.key_id for key in vault.database.keys.values() if key.field == IP}
    assert (report.rewrapped, set(report.refused)) == (3, refused)
    assert len(refused) == 3
    assert len(vault.kms.rewrapped) == 5


def test_a_key_that_another_run_rewrapped_is_not_counted(vault: FakeVault) -> None:
    """Two runs read the same bytes: the second one writes none."""
    keys = FakeWrappedKeys(vault.database)
    seen = keys.live()
    assert run(vault, keys, seen, None).rewrapped == 6
    after = blobs(vault)
    assert run(vault, keys, seen, None).rewrapped == 0
    assert blobs(vault) == after


def test_a_destroyed_key_is_left_alone(vault: FakeVault) -> None:
    """The key is destroyed before the run, and in the middle of it."""
    keys = FakeWrappedKeys(vault.database)
    seen = keys.live()
    first, second = (key.key_id for key in seen[:2])
    for key_id in (first, second):
        vault.database.set_state(key_id, KeyState.DECRYPT_ONLY)
    vault.database.set_state(first, KeyState.DESTROYED)
    late = keys.live()
    vault.database.set_state(second, KeyState.DESTROYED)
    assert run(vault, keys, late, None).rewrapped == 4
    assert [blobs(vault)[key_id] for key_id in (first, second)] == [None, None]


def test_the_sweep_breaks_every_call(vault: FakeVault) -> None:
    """The next test breaks as many calls as it claims."""
    breaker = Breaker(10**9, UnavailableError("away"))
    rewrap(vault.tapped(breaker.tap), tap=breaker.tap)
    assert breaker.calls == CALLS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(CALLS))
def test_a_rewrap_interrupted_anywhere_is_run_again(vault: FakeVault, at: int, after: bool) -> None:
    """Rewrapped keys stay, every key opens in between, and the next run rewraps all of them."""
    breaker = Breaker(at, UnavailableError("away"), after=after)
    # A proof's call that has to be refused is refused before its answer can be lost.
    with contextlib.suppress(UnavailableError, AuditError):
        rewrap(vault.tapped(breaker.tap), tap=breaker.tap)
    assert breaker.broke
    assert opens(vault)
    assert rewrap(vault).rewrapped == 6
    assert opens(vault)


# --- Under another KMS key ---


@pytest.fixture
def two_keys(vault: FakeVault) -> FakeVault:
    """A vault with another KMS key for data keys, which is trusted, and has an alias."""
    vault.kms.make_kms_key(OTHER)
    vault.kms.trusted[KeyPurpose.DATA].add(OTHER)
    vault.kms.aliases["alias/other"] = OTHER
    return vault


def look(vault: FakeVault, name: str = "alias/other") -> str:
    """Look up the target of data keys, in a dry run."""
    keys = FakeWrappedKeys(vault.database).live()
    return RewrapTarget(vault.audit, vault.kms)(None, keys, KeyPurpose.DATA, name)


def test_keys_move_with_their_arn(two_keys: FakeVault) -> None:
    """Keys of the purpose move, and no others; a second run has none to move."""
    assert rewrap(two_keys, look(two_keys)).rewrapped == 4
    for key in two_keys.database.keys.values():
        data = key.purpose is KeyPurpose.DATA
        assert key.kms_key_arn == (OTHER if data else arn_of(key.purpose))
    assert opens(two_keys)
    assert rewrap(two_keys, look(two_keys)).rewrapped == 0


def test_a_kms_key_that_is_not_trusted_is_refused(two_keys: FakeVault) -> None:
    """Refused are the new one, and the old one, which others would no longer open meanwhile."""
    for arn in (OTHER, arn_of(KeyPurpose.DATA)):
        two_keys.kms.trusted[KeyPurpose.DATA].remove(arn)
        with pytest.raises(ConfigurationError, match="not trusted") as refused:
            look(two_keys)
        assert "VAULT_ETL_TRUSTED_KEY_ARNS" in str(refused.value.hint)
        two_keys.kms.trusted[KeyPurpose.DATA].add(arn)


def test_the_kms_key_of_another_purpose_is_refused(two_keys: FakeVault) -> None:
    """The KMS key is refused even if the allow-list has it for both purposes."""
    two_keys.kms.trusted[KeyPurpose.DATA].add(arn_of(KeyPurpose.TOKEN))
    with pytest.raises(ConfigurationError, match="another purpose"):
        look(two_keys, arn_of(KeyPurpose.TOKEN))
