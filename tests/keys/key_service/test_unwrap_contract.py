"""Every port of KMS: a key opens under its own context, and under no other."""

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
    unwrapper,
)
from tests.kit.declared import FIELDS, IP, PERSONAL_FIELDS
from vault_etl.base.errors import (
    DeniedError,
    KeyDeniedError,
    UnavailableError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import KEY_BYTES, WrappedKey, fingerprint
from vault_etl.keys.kms import (
    KmsKeyGenerator,
    KmsUnseenKeyGenerator,
)
from vault_etl.keys.make import (
    make_data_key,
)
from vault_etl.keys.unwrap import prove_kms
from vault_etl.local.provision import Provisioned


@pytest.mark.parametrize("field", FIELDS)
def test_a_key_opens_to_what_was_generated(bench: Bench, field: FieldName) -> None:
    """32 bytes, wrapped under the KMS key of the purpose, whose ARN is told."""
    made = bench.generator.generate(KeyPurpose.DATA, field, 7)
    key = WrappedKey(
        key_id=7,
        purpose=KeyPurpose.DATA,
        field=field,
        generation=None,
        kms_key_arn=made.kms_key_arn,
        wrapped_key=made.wrapped_key,
        fingerprint=fingerprint(made.material, 7),
    )
    assert made.kms_key_arn.startswith("arn:aws:kms:")
    assert made.material.expose() not in made.wrapped_key
    assert bench.unwrapper.unwrap(key).expose() == made.material.expose()


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_an_unseen_key_opens_under_its_own_context(bench: Bench, field: FieldName) -> None:
    """32 bytes, wrapped under the KMS key of the purpose; the row has the fingerprint of the key."""
    key = new_key(bench, field, KeyPurpose.TOKEN)
    material = bench.unwrapper.unwrap(key)
    assert fingerprint(material, key.key_id) == key.fingerprint
    assert key.kms_key_arn.startswith("arn:aws:kms:")
    assert material.expose() not in (key.wrapped_key or b"")
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(dataclasses.replace(key, key_id=key.key_id - 1))


def test_two_generated_keys_differ(bench: Bench) -> None:
    """They differ also for the same purpose, field and id."""
    made = [bench.generator.generate(KeyPurpose.DATA, IP, 7) for _ in range(5)]
    assert len({key.material.expose() for key in made}) == 5
    assert len({key.wrapped_key for key in made}) == 5


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES.keys())
def test_a_key_does_not_open_as_anything_else(bench: Bench, changes: dict[str, Any]) -> None:
    """The row's own columns are the context: a forged row opens nothing."""
    key = new_key(bench)
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(dataclasses.replace(key, **changes))
    assert len(bench.unwrapper.unwrap(key).expose()) == KEY_BYTES


def test_a_key_wrapped_for_the_other_purpose_does_not_open(bench: Bench) -> None:
    """Each purpose has its own KMS key, and a row may not name the other's."""
    data, token = new_key(bench), new_key(bench, purpose=KeyPurpose.TOKEN)
    assert data.kms_key_arn != token.kms_key_arn
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(dataclasses.replace(data, kms_key_arn=token.kms_key_arn))
    with pytest.raises(NOT_THE_CALLERS):
        bench.unwrapper.unwrap(dataclasses.replace(data, wrapped_key=token.wrapped_key))


@pytest.mark.iam
def test_a_caller_who_may_not_unwrap_is_denied(bench: Bench) -> None:
    """To this caller the key is not available; another caller may open it."""
    key = new_key(bench)
    with pytest.raises(KeyDeniedError):
        bench.denied.unwrap(key)


def test_a_kms_out_of_reach_is_unavailable(bench: Bench) -> None:
    """An outage is no refusal: a later call may succeed."""
    with pytest.raises(UnavailableError):
        bench.cut_off.unwrap(new_key(bench))


@pytest.mark.parametrize("field", FIELDS)
def test_a_kms_proves_itself(bench: Bench, field: FieldName) -> None:
    """The KMS under test binds keys to their encryption context."""
    key = new_key(bench, field)
    material = prove_kms(key, bench.unwrapper)
    assert fingerprint(material, key.key_id) == key.fingerprint


def test_a_listed_arn_is_trusted_and_no_other(kms: Kms, moto: tuple[str, Provisioned]) -> None:
    """With the real adapter: the explicit list takes the place of the KMS keys of the aliases."""
    key, _ = make_data_key(KmsKeyGenerator(kms("re-encrypt"), ALIASES), IP)
    assert key.kms_key_arn == arns(moto)["data"]
    listed = unwrapper(kms("re-encrypt"), frozenset({arns(moto)["data"]}))
    assert len(listed.unwrap(key).expose()) == KEY_BYTES
    elsewhere = unwrapper(kms("re-encrypt"), frozenset({arns(moto)["token"]}))
    with pytest.raises(UnusableKeyError, match="not trusted"):
        elsewhere.unwrap(key)


@pytest.mark.iam
def test_a_caller_who_may_not_make_keys_is_denied(kms: Kms) -> None:
    """With the real adapter: the role reveal has no GenerateDataKey."""
    with pytest.raises(DeniedError):
        KmsKeyGenerator(kms("reveal"), ALIASES).generate(KeyPurpose.DATA, IP, 7)
    with pytest.raises(DeniedError):
        KmsUnseenKeyGenerator(kms("rotate"), ALIASES).generate_unseen(KeyPurpose.TOKEN, IP, 7)


def test_a_kms_key_is_looked_up_by_each_of_its_names(bench: Bench) -> None:
    """Names are alias and ARN; an unknown name is a refusal. The trust in a KMS key is for its ARN."""
    arn = new_key(bench).kms_key_arn
    assert bench.kms_keys.arn(ALIASES[KeyPurpose.DATA]) == bench.kms_keys.arn(arn) == arn
    with pytest.raises(DeniedError):
        bench.kms_keys.arn("alias/nobody")
    assert bench.kms_keys.trusts(KeyPurpose.DATA, bench.other)
    assert not bench.kms_keys.trusts(KeyPurpose.DATA, "arn:aws:kms:us-east-1:123456789012:key/x")
