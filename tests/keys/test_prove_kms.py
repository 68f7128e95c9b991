"""A KMS is proved before it is trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.kit.declared import DEVICE_ID, FIELDS, IP
from tests.kit.fakes.key_service import FakeKms, token_key
from tests.kit.fakes.tap import Tap
from vault_etl.base.errors import (
    ConfigurationError,
    KeyDeniedError,
    KeyUnavailableError,
    UnavailableError,
    UnusableKeyError,
    VaultEtlError,
)
from vault_etl.crypto.fields import QUARANTINE, FieldName, KeyPurpose
from vault_etl.crypto.keys import MAX_KEY_ID, WrappedKey, fingerprint
from vault_etl.keys.make import NewKey, make_data_key
from vault_etl.keys.unwrap import KmsProof, ProvenUnwrapper, prove_kms

GULLIBLE = "ignores the encryption context"


def key_of(kms: FakeKms, field: FieldName = IP) -> NewKey:
    """A token key that this KMS wrapped."""
    return token_key(kms, field)


def next_id(key: WrappedKey) -> int:
    """The key id that the second call names."""
    return key.key_id + 1


@pytest.mark.parametrize("field", FIELDS)
def test_a_kms_that_keeps_to_the_context_is_trusted(field: FieldName) -> None:
    """The key opens under its own id and not under another one, and is returned."""
    kms = FakeKms()
    new, material = make_data_key(kms, field)
    assert prove_kms(new, kms).expose() == material.expose()
    assert kms.unwrapped == [new.key_id, next_id(new)]


@pytest.mark.parametrize("field", FIELDS)
def test_a_kms_that_ignores_the_context_is_refused(field: FieldName) -> None:
    """A KMS that ignores the context would leave sealed values bound to nothing."""
    kms = FakeKms(ignores_context=True)
    with pytest.raises(ConfigurationError, match=GULLIBLE):
        prove_kms(key_of(kms, field), kms)


def test_a_caller_of_one_field_proves_the_kms_all_the_same() -> None:
    """A KMS that binds is trusted, and one that ignores the context is found out."""
    for gullible in (False, True):
        kms = FakeKms(ignores_context=gullible)
        kms.denied = {DEVICE_ID, QUARANTINE}
        new, material = make_data_key(kms, IP)
        if gullible:
            with pytest.raises(ConfigurationError, match=GULLIBLE):
                prove_kms(new, kms)
        else:
            assert prove_kms(new, kms).expose() == material.expose()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (KeyDeniedError, ConfigurationError),
        (UnusableKeyError, ConfigurationError),
        (KeyUnavailableError, KeyUnavailableError),
    ],
)
def test_a_denial_of_the_second_try_proves_nothing(
    error: type[VaultEtlError], told: type[VaultEtlError]
) -> None:
    """The KMS ignores the context, behind a policy that names one key id, or a disabled key."""
    kms = FakeKms(ignores_context=True)
    key = key_of(kms)
    calls = iter(range(9))

    def denying(_: str, call: Callable[[], Any]) -> object:
        if next(calls) == 1:
            raise error("KMS denies this (AccessDeniedException)")
        return call()

    unwrapper: Any = Tap(kms, denying)
    with pytest.raises(told, match="KMS denies this"):
        prove_kms(key, unwrapper)


@pytest.mark.parametrize("key_id", [1, 2, MAX_KEY_ID])
def test_the_other_key_id_is_valid(key_id: int) -> None:
    """The id is from 1 to the highest, and is never the key's own."""
    kms = FakeKms()
    made = kms.generate(KeyPurpose.TOKEN, IP, key_id)
    key = dataclasses.replace(
        key_of(kms),
        key_id=key_id,
        wrapped_key=made.wrapped_key,
        fingerprint=fingerprint(made.material, key_id),
    )
    prove_kms(key, kms)
    assert 1 <= kms.unwrapped[-1] <= MAX_KEY_ID
    assert kms.unwrapped[-1] != key_id


def test_access_denied_on_the_own_key_is_raised() -> None:
    """The caller may not open the key that it needs, which proves nothing about the KMS."""
    kms = FakeKms()
    kms.denied = {IP}
    with pytest.raises(KeyUnavailableError):
        prove_kms(key_of(kms, IP), kms)


@pytest.mark.parametrize("answers", [0, 1])
def test_a_kms_that_does_not_answer_is_not_proved(answers: int) -> None:
    """Silence at the first or the second try is not a refusal, so it proves nothing."""
    kms = FakeKms()
    key = key_of(kms)
    left = iter(range(answers))

    def failing(_: str, call: Callable[[], Any]) -> object:
        if next(left, None) is None:
            raise UnavailableError("KMS cannot be reached")
        return call()

    unwrapper: Any = Tap(kms, failing)
    with pytest.raises(UnavailableError):
        prove_kms(key, unwrapper)


def test_a_key_that_is_not_the_one_stored_is_no_proof() -> None:
    """The fingerprint shows that the key is another."""
    kms = FakeKms()
    one, other = make_data_key(kms, IP)[1], key_of(kms)

    def another(_: str, call: Callable[[], Any]) -> object:
        call()
        return one

    unwrapper: Any = Tap(kms, another)
    with pytest.raises(UnusableKeyError):
        prove_kms(other, unwrapper)


def test_a_proven_unwrapper_proves_once() -> None:
    """The first key takes two calls, each later key one."""
    kms = FakeKms()
    keys = [key_of(kms) for _ in range(3)]
    proven = ProvenUnwrapper(kms, KmsProof())
    for key in keys:
        proven.unwrap(key)
    assert kms.unwrapped == [
        *(keys[0].key_id, next_id(keys[0])),
        *(keys[1].key_id, keys[2].key_id),
    ]


def test_a_proven_unwrapper_never_hands_out_a_key_of_a_kms_that_failed() -> None:
    """A later call returns no key either."""
    kms = FakeKms(ignores_context=True)
    proven = ProvenUnwrapper(kms, KmsProof())
    for _ in range(3):
        with pytest.raises(ConfigurationError, match=GULLIBLE):
            proven.unwrap(key_of(kms))


def test_a_first_call_that_fails_proves_nothing() -> None:
    """The next call makes the proof."""
    kms = FakeKms()
    key = key_of(kms)
    proven = ProvenUnwrapper(kms, KmsProof())
    kms.down = True
    with pytest.raises(UnavailableError):
        proven.unwrap(key)
    kms.down = False
    proven.unwrap(key)
    assert kms.unwrapped == [key.key_id, next_id(key)]


def test_threads_that_start_together_prove_once() -> None:
    """No key comes out before the proof."""
    kms = FakeKms()
    keys: list[WrappedKey] = [key_of(kms) for _ in range(16)]
    proven = ProvenUnwrapper(kms, KmsProof())
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(proven.unwrap, keys))
    assert len(kms.unwrapped) == 17
    assert kms.unwrapped[1] == next_id(next(k for k in keys if k.key_id == kms.unwrapped[0]))
