"""KMS, one interface a permission: who may make keys need not be able to unwrap them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from vault_etl.crypto.fields import Field, KeyField, KeyPurpose
from vault_etl.crypto.keys import KeyMaterial, WrappedKey


@dataclass(frozen=True, slots=True)
class GeneratedKey:
    """A new key: in plaintext, for memory alone, and wrapped, for the database."""

    material: KeyMaterial
    wrapped_key: bytes
    kms_key_arn: str


@dataclass(frozen=True, slots=True)
class UnseenKey:
    """A new key that its maker was not shown: wrapped, for the database."""

    wrapped_key: bytes
    kms_key_arn: str


class KeyGenerator(Protocol):
    """May make keys and use them at once (kms:GenerateDataKey)."""

    def generate(self, purpose: KeyPurpose, field: Field, key_id: int) -> GeneratedKey:
        """A new key of 32 bytes, bound to purpose, field and key id.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


class UnseenKeyGenerator(Protocol):
    """May make keys without seeing them (kms:GenerateDataKeyWithoutPlaintext)."""

    def generate_unseen(self, purpose: KeyPurpose, field: KeyField, key_id: int) -> UnseenKey:
        """Make a key of 32 bytes, bound to purpose, field and key id.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


class KeyUnwrapper(Protocol):
    """May unwrap keys (kms:Decrypt)."""

    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        """The plaintext of a stored key, under the context of its own columns.

        Raises UnusableKeyError if the key is at fault: destroyed, no key under this context, or of a
        KMS key that is not on the allow-list or not the one that its row names. Raises
        KeyUnavailableError if KMS refuses the KMS key, KeyDeniedError if it refuses this caller, and
        UnavailableError if it does not answer.
        """


class KeyRewrapper(Protocol):
    """May rewrap keys (kms:ReEncrypt), and sees no plaintext."""

    def rewrap(self, key: WrappedKey, kms_key_arn: str) -> bytes:
        """The same key, wrapped by the newest material of this KMS key, under the same context.

        Raises what `KeyUnwrapper.unwrap` raises; both KMS keys must be on the allow-list.
        """


class KmsKeys(Protocol):
    """May look up KMS keys (kms:DescribeKey)."""

    def arn(self, name: str) -> str:
        """The ARN of the key with this id, ARN or alias.

        Raises DeniedError, KeyUnavailableError or UnavailableError.
        """

    def trusts(self, purpose: KeyPurpose, kms_key_arn: str) -> bool:
        """Whether keys of this purpose may be wrapped by this KMS key: the allow-list."""

    def in_use(self, purpose: KeyPurpose) -> str:
        """The ARN of the KMS key that wraps new keys of this purpose. Raises what `arn` raises."""
