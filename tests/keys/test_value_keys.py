"""Faults of a stored key, told from faults of the caller."""

from __future__ import annotations

import dataclasses

import pytest

from tests.kit.declared import IP
from tests.kit.fakes.key_service import arn_of
from tests.kit.fakes.vault import FakeVault
from vault_etl.base.errors import (
    ConfigurationError,
    DataError,
    KeyDeniedError,
    UnavailableError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.keys.value_keys import MAX_NAMED, KeyAtFault, ValueKeys, naming

OLDER = "arn:aws:kms:eu-west-1:000000000000:key/older"


@pytest.fixture
def vault() -> FakeVault:
    """A vault with one more trusted KMS key, under which no new key is made."""
    whole = FakeVault()
    whole.kms.make_kms_key(OLDER)
    whole.kms.trusted[KeyPurpose.DATA].add(OLDER)
    return whole


def value_keys(vault: FakeVault) -> ValueKeys:
    """The value keys of a new process."""
    return vault.value_keys(vault.ring())


def key_under(vault: FakeVault, arn: str) -> int:
    """A data key of `ip` whose row names this KMS key, which wrapped it."""
    key_id = vault.leases().data_key(IP, 1).key_id
    stored = vault.database.keys[key_id]
    wrapped = vault.kms.rewrap(stored, arn)
    vault.database.keys[key_id] = dataclasses.replace(stored, wrapped_key=wrapped, kms_key_arn=arn)
    return key_id


def test_a_denial_under_another_kms_key_is_the_keys_fault(vault: FakeVault) -> None:
    """Its row may name any trusted KMS key: the key is passed, and KMS is asked about it once."""
    key_id = key_under(vault, OLDER)
    vault.kms.denied_arns = {OLDER}
    old = value_keys(vault)
    vault.kms.unwrapped.clear()
    assert [old.data_key(key_id, IP) for _ in range(3)] == [None] * 3
    assert vault.kms.unwrapped.count(key_id) == 1
    (fault,) = old.at_fault()
    assert (fault.key_id, type(fault.error)) == (key_id, KeyDeniedError)


def test_a_denial_under_the_kms_key_of_new_keys_is_the_callers(vault: FakeVault) -> None:
    """The caller may not open one field, or all: the denial is raised, and no key is stored for it."""
    key_id = key_under(vault, arn_of(KeyPurpose.DATA))
    before = dict(vault.database.keys)
    vault.kms.denied = {IP}
    old = value_keys(vault)
    with pytest.raises(KeyDeniedError):
        old.data_key(key_id, IP)
    assert (vault.database.keys, old.at_fault()) == (before, ())
    vault.kms.denied = set()
    assert old.data_key(key_id, IP) is not None


def test_an_outage_is_no_fault_of_a_key(vault: FakeVault) -> None:
    """An outage is raised as an error, and the next run asks again."""
    key_id = key_under(vault, OLDER)
    vault.kms.down = True
    with pytest.raises(UnavailableError):
        value_keys(vault).data_key(key_id, IP)


def test_a_kms_key_that_was_left_off_the_list_is_mended_by_the_list(vault: FakeVault) -> None:
    """A list without an older KMS key loses no value: the key is named, and opens in the next run."""
    key_id = key_under(vault, OLDER)
    vault.kms.trusted[KeyPurpose.DATA].remove(OLDER)
    forgetful = value_keys(vault)
    forgetful.must_trust(KeyPurpose.DATA)
    assert forgetful.data_key(key_id, IP) is None
    assert [fault.key_id for fault in forgetful.at_fault()] == [key_id]
    vault.kms.trusted[KeyPurpose.DATA].add(OLDER)
    assert value_keys(vault).data_key(key_id, IP) is not None


def test_a_list_without_the_kms_key_of_new_keys_is_refused(vault: FakeVault) -> None:
    """With such a list no value would open, honest or not."""
    vault.kms.trusted[KeyPurpose.DATA].remove(arn_of(KeyPurpose.DATA))
    with pytest.raises(ConfigurationError, match="not trusted") as refused:
        value_keys(vault).must_trust(KeyPurpose.TOKEN, KeyPurpose.DATA)
    assert "VAULT_ETL_TRUSTED_KEY_ARNS" in (refused.value.hint or "")


def test_ten_keys_are_named_and_the_rest_are_counted() -> None:
    """The keys with the most values are named, and each remedy is listed once."""
    error = DataError("3 values do not open", hint="as they were")
    faults = [KeyAtFault(n, n, UnusableKeyError(f"key {n} is destroyed")) for n in range(1, 14)]
    told = naming(error, faults)
    assert str(told).startswith(
        "3 values do not open; key 1 is destroyed, with 1 values under it; key 2"
    )
    assert str(told).count("values under it") == MAX_NAMED
    assert str(told).endswith("; and 3 keys more")
    assert told.hint == f"{faults[0].error.hint}; as they were"
    assert naming(error, ()) is error
