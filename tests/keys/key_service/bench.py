"""A KMS as callers with different rights see it, and keys that it wrapped."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from tests.kit.declared import DEVICE_ID, IP
from vault_etl.base.errors import (
    KeyDeniedError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import SOURCE, FieldName, KeyPurpose
from vault_etl.keys.kms import (
    KmsKeyRewrapper,
    KmsKeyUnwrapper,
    TrustedKeys,
)
from vault_etl.keys.make import (
    KeyGenerator,
    NewKey,
    UnseenKeyGenerator,
    make_data_key,
    make_unseen_key,
)
from vault_etl.keys.rewrap import KeyRewrapper
from vault_etl.keys.unwrap import KeyUnwrapper, KmsKeys
from vault_etl.local.provision import Provisioned

ALIASES = {
    KeyPurpose.DATA: "alias/vault-etl-data",
    KeyPurpose.TOKEN: "alias/vault-etl-token",
    KeyPurpose.SOURCE: "alias/vault-etl-token",
}


OTHER = "arn:aws:kms:eu-west-1:000000000000:key/other"
"""Of the fake."""


@dataclasses.dataclass(frozen=True)
class Bench:
    """A KMS for a caller who may do all, for one who may not unwrap or rewrap, and for one who cannot reach it."""

    generator: KeyGenerator
    unseen: UnseenKeyGenerator
    unwrapper: KeyUnwrapper
    denied: KeyUnwrapper
    cut_off: KeyUnwrapper
    rewrapper: KeyRewrapper
    denied_rewrapper: KeyRewrapper
    cut_off_rewrapper: KeyRewrapper
    kms_keys: KmsKeys
    other: str


Kms = Callable[[str], Any]


NOT_THE_CALLERS = (UnusableKeyError, KeyDeniedError)
"""The key is at fault. moto says that it denies bytes which name another KMS key, as if it was the caller."""


def unwrapper(client: Any, listed: frozenset[str] = frozenset()) -> KmsKeyUnwrapper:  # noqa: ANN401 - of boto3
    """The real adapter."""
    return KmsKeyUnwrapper(client, TrustedKeys(client, ALIASES, listed))


def rewrapper(client: Any, listed: frozenset[str] = frozenset()) -> KmsKeyRewrapper:  # noqa: ANN401 - of boto3
    """The real adapter."""
    return KmsKeyRewrapper(client, TrustedKeys(client, ALIASES, listed))


def arns(moto: tuple[str, Provisioned]) -> Mapping[str, str]:
    """The KMS keys by purpose."""
    return moto[1].key_arns


def new_key(bench: Bench, field: FieldName = IP, purpose: KeyPurpose = KeyPurpose.DATA) -> NewKey:
    """A key that this KMS wrapped."""
    if purpose is not KeyPurpose.DATA:
        of = SOURCE if purpose is KeyPurpose.SOURCE else field
        return make_unseen_key(bench.unseen, bench.unwrapper, purpose, of)
    return make_data_key(bench.generator, field)[0]


CHANGES: dict[str, dict[str, Any]] = {
    "another field": {"field": DEVICE_ID},
    "another purpose": {"purpose": KeyPurpose.TOKEN},
    "another id": {"key_id": 4711},
    "destroyed": {"wrapped_key": None},
    "damaged": {"wrapped_key": b"damaged" * 20},
    "an untrusted ARN": {"kms_key_arn": "arn:aws:kms:us-east-1:123456789012:key/other"},
}
