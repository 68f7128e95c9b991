"""Checks of keys: complete generations, ages, trusted wrappings, and encryption contexts in KMS."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.fakes.key_service import FakeKms, token_key
from tests.kit.fakes.vault import FakeVault
from vault_etl.base.errors import ConfigurationError, KeyDeniedError, UnusableKeyError
from vault_etl.crypto.fields import ROTATED, FieldName, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.doctor import keys
from vault_etl.doctor.keys import Wrapping
from vault_etl.keys.age import KeyAge

HOUR = 3_600.0
DAY = dt.timedelta(days=1)


def add(vault: FakeVault, generation: int, state: KeyState, field: FieldName) -> None:
    """Store a token key."""
    vault.keys.store(token_key(vault.kms, field, generation), state)


def test_one_complete_generation_is_enough(fake_vault: FakeVault) -> None:
    """One more complete generation may be pending."""
    assert keys.token_keys(fake_vault.keys, PERSONAL_FIELDS).detail == "generation 1 active"
    fake_vault.add_token_keys(2, KeyState.PENDING)
    verdict = keys.token_keys(fake_vault.keys, PERSONAL_FIELDS)
    assert (verdict.ok, verdict.detail) == (True, "generation 1 active, generation 2 pending")


def test_missing_token_keys_are_a_fault(fake_vault: FakeVault) -> None:
    """The hint names the command that makes them."""
    fake_vault.database.keys.clear()
    verdict = keys.token_keys(fake_vault.keys, PERSONAL_FIELDS)
    assert verdict.ok is False
    assert "keys init" in str(verdict.hint)


@pytest.mark.parametrize("state", [KeyState.ACTIVE, KeyState.PENDING])
def test_two_generations_in_one_state_are_damage(fake_vault: FakeVault, state: KeyState) -> None:
    """Rows would have tokens of both."""
    fake_vault.add_token_keys(2, state)
    fake_vault.add_token_keys(3, state)
    verdict = keys.token_keys(fake_vault.keys, PERSONAL_FIELDS)
    assert (verdict.ok, verdict.detail) == (False, f"more than one generation is {state}")


@pytest.mark.parametrize("state", [KeyState.ACTIVE, KeyState.PENDING])
@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_a_generation_that_lacks_a_field_names_the_field(
    fake_vault: FakeVault, state: KeyState, field: FieldName
) -> None:
    """The field may be a new one: `keys init` makes its key."""
    (other,) = {*PERSONAL_FIELDS} - {field}
    if state is KeyState.ACTIVE:
        fake_vault.database.keys.clear()
    add(fake_vault, 7, state, field)
    verdict = keys.token_keys(fake_vault.keys, PERSONAL_FIELDS)
    assert (verdict.ok, verdict.detail) == (False, f"generation 7 ({state}) has no key of {other}")
    assert "keys init" in str(verdict.hint)


def test_a_pending_generation_alone_is_damage(fake_vault: FakeVault) -> None:
    """No key is left to make tokens with."""
    fake_vault.database.keys.clear()
    fake_vault.add_token_keys(2, KeyState.PENDING)
    assert keys.token_keys(fake_vault.keys, PERSONAL_FIELDS).detail == "no generation is active"


def test_a_token_rotation_has_a_day(fake_vault: FakeVault) -> None:
    """A longer rotation counts as abandoned."""
    assert keys.pending(fake_vault.keys).ok
    fake_vault.add_token_keys(2, KeyState.PENDING)
    fake_vault.clock.advance(24 * HOUR)
    assert keys.pending(fake_vault.keys).ok
    fake_vault.clock.advance(1)
    verdict = keys.pending(fake_vault.keys)
    assert (verdict.ok, "24 hours" in verdict.detail) == (False, True)
    assert "--abort" in str(verdict.hint)


@pytest.mark.parametrize("purpose", ROTATED)
def test_keys_that_are_due_are_a_fault(purpose: KeyPurpose) -> None:
    """The hint names the remedy; keys exactly at the limit are not due."""
    assert keys.age(KeyAge(purpose, 90 * DAY, 90 * DAY)).ok
    verdict = keys.age(KeyAge(purpose, 91 * DAY, 90 * DAY))
    assert verdict.ok is False
    assert ("--tokens" in str(verdict.hint)) == (purpose is KeyPurpose.TOKEN)


def test_keys_wrapped_by_an_untrusted_kms_key_are_counted() -> None:
    """A KMS key is trusted for its own purpose alone; the verdict counts keys by KMS key."""
    wrappings = [
        Wrapping(KeyPurpose.DATA, "arn:data", 3),
        Wrapping(KeyPurpose.TOKEN, "arn:data", 2),
    ]
    verdict = keys.trusted(wrappings, lambda purpose, arn: arn == f"arn:{purpose}")
    assert verdict.ok is False
    assert verdict.detail.endswith(": 2 token keys by arn:data")


def test_context_binding_is_verified(fake_vault: FakeVault) -> None:
    """KMS unwraps a token key under its own context alone."""
    assert keys.contexts(fake_vault.keys, fake_vault.kms).ok
    opened, refused = fake_vault.kms.unwrapped
    assert opened in {key.key_id for key in fake_vault.keys.token_keys()}
    assert refused != opened


def test_a_kms_that_ignores_contexts_is_a_fault(fake_vault: FakeVault) -> None:
    """Such a KMS unwraps a key under the context of another field."""
    fake_vault.kms = FakeKms(ignores_context=True)
    fake_vault.database.keys.clear()
    fake_vault.add_token_keys(1, KeyState.ACTIVE)
    with pytest.raises(ConfigurationError, match="ignores the encryption context"):
        keys.contexts(fake_vault.keys, fake_vault.kms)


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_a_role_for_one_field_proves_it_with_that_one(
    fake_vault: FakeVault, field: FieldName
) -> None:
    """The refusal of the other field is no fault."""
    fake_vault.kms.denied = {field}
    assert keys.contexts(fake_vault.keys, fake_vault.kms).ok


def test_a_role_for_no_field_proves_nothing(fake_vault: FakeVault) -> None:
    """A refusal is raised, and differs from a key that no caller can unwrap."""
    fake_vault.kms.denied = set(PERSONAL_FIELDS)
    with pytest.raises(KeyDeniedError):
        keys.contexts(fake_vault.keys, fake_vault.kms)
    fake_vault.kms.denied = set()
    fake_vault.kms = FakeKms()  # another KMS
    with pytest.raises(UnusableKeyError):
        keys.contexts(fake_vault.keys, fake_vault.kms)
