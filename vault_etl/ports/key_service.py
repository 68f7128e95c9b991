"""KMS, one interface a permission: who may make keys need not be able to unwrap them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vault_etl.core.fields import Field, KeyPurpose
from vault_etl.core.keys import KeyMaterial, WrappedKey


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A new key: in plaintext, for memory alone, and wrapped, for the database."""

    material: KeyMaterial
    wrapped_key: bytes
    kms_key_arn: str


class KeyGenerator(Protocol):
    """May make keys (kms:GenerateDataKey)."""

    def generate(self, purpose: KeyPurpose, field: Field, key_id: int) -> GeneratedKey:
        """A new key of 32 bytes, bound to purpose, field and key id.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


class KeyUnwrapper(Protocol):
    """May unwrap keys (kms:Decrypt)."""

    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        """The plaintext of a stored key, under the context of its own columns.

        Raises KeyUnavailableError if KMS refuses it, its KMS key is not on the allow-list, or it is
        destroyed; UnavailableError if KMS does not answer.
        """
