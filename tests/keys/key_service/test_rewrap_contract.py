"""Every port of KMS: a rewrapped key is the same key, under a trusted KMS key alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from tests.keys.key_service.bench import (
    ALIASES,
    CHANGES,
    NOT_THE_CALLERS,
    Bench,
    Kms,
    arns,
    new_key,
    rewrapper,
)
from tests.kit.declared import IP
from vault_etl.base.errors import (
    KeyDeniedError,
    UnavailableError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import fingerprint
from vault_etl.keys.kms import (
    KmsKeyGenerator,
)
from vault_etl.keys.make import (
    make_data_key,
)
from vault_etl.keys.unwrap import prove_kms
from vault_etl.local.provision import Provisioned


@pytest.mark.parametrize("purpose", KeyPurpose)
def test_a_rewrapped_key_is_the_same_key(bench: Bench, purpose: KeyPurpose) -> None:
    """The bytes are new, and open to the key under the same context; the old bytes still do too."""
    key = new_key(bench, purpose=purpose)
    again = dataclasses.replace(key, wrapped_key=bench.rewrapper.rewrap(key, key.kms_key_arn))
    assert again.wrapped_key != key.wrapped_key
    opened = [bench.unwrapper.unwrap(each) for each in (key, again)]
    assert {fingerprint(material, key.key_id) for material in opened} == {key.fingerprint}


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_a_key_is_not_rewrapped_as_anything_else(bench: Bench, changes: dict[str, Any]) -> None:
    """The row's own columns are both contexts: a forged row gets no new bytes."""
    key = dataclasses.replace(new_key(bench), **changes)
    with pytest.raises(NOT_THE_CALLERS):
        bench.rewrapper.rewrap(key, key.kms_key_arn)


def test_a_rewrapped_key_opens_under_its_own_context_alone(bench: Bench) -> None:
    """A rewrap keeps the key bound to its context."""
    key = new_key(bench)
    again = dataclasses.replace(key, wrapped_key=bench.rewrapper.rewrap(key, key.kms_key_arn))
    assert fingerprint(prove_kms(again, bench.unwrapper), key.key_id) == key.fingerprint


def test_bytes_that_another_kms_key_made_are_not_rewrapped(bench: Bench) -> None:
    """The row names the KMS key that it is under: KMS must not find another one by itself."""
    data, token = new_key(bench), new_key(bench, purpose=KeyPurpose.TOKEN)
    forged = dataclasses.replace(data, wrapped_key=token.wrapped_key)
    with pytest.raises(NOT_THE_CALLERS):
        bench.rewrapper.rewrap(forged, data.kms_key_arn)


def test_a_key_moves_to_another_kms_key_that_is_trusted(bench: Bench) -> None:
    """A moved key opens under the ARN of the new KMS key, not of the old one."""
    key = new_key(bench)
    moved = dataclasses.replace(key, wrapped_key=bench.rewrapper.rewrap(key, bench.other))
    there = dataclasses.replace(moved, kms_key_arn=bench.other)
    assert fingerprint(bench.unwrapper.unwrap(there), key.key_id) == key.fingerprint
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(moved)
    with pytest.raises(NOT_THE_CALLERS):
        bench.rewrapper.rewrap(moved, bench.other)


def test_a_key_does_not_move_to_an_untrusted_kms_key(bench: Bench) -> None:
    """Every reader would refuse a key under a KMS key that is not trusted."""
    key = new_key(bench)
    with pytest.raises(NOT_THE_CALLERS):
        bench.rewrapper.rewrap(key, "arn:aws:kms:us-east-1:123456789012:key/other")


@pytest.mark.iam
def test_a_caller_who_may_not_rewrap_is_denied(bench: Bench) -> None:
    """The error is a denial of this caller, which says nothing about the key."""
    key = new_key(bench)
    with pytest.raises(KeyDeniedError):
        bench.denied_rewrapper.rewrap(key, key.kms_key_arn)


def test_rewrapping_out_of_reach_is_unavailable(bench: Bench) -> None:
    """An outage is no refusal: a later call may succeed."""
    key = new_key(bench)
    with pytest.raises(UnavailableError):
        bench.cut_off_rewrapper.rewrap(key, key.kms_key_arn)


def test_rewrapping_uses_listed_kms_keys_alone(kms: Kms, moto: tuple[str, Provisioned]) -> None:
    """With the real adapter: the allow-list comes before the call, for the old and the new KMS key."""
    key, _ = make_data_key(KmsKeyGenerator(kms("re-encrypt"), ALIASES), IP)
    data, token = arns(moto)["data"], arns(moto)["token"]
    for listed, target in (({token}, data), ({data}, token), ({token}, token)):
        with pytest.raises(UnusableKeyError, match="not trusted"):
            rewrapper(kms("admin"), frozenset(listed)).rewrap(key, target)
