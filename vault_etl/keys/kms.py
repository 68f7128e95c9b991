"""KMS: making and unwrapping keys, as two types, since they are two permissions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from vault_etl.base.errors import (
    DeniedError,
    KeyDeniedError,
    KeyUnavailableError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import Field, KeyField, KeyPurpose
from vault_etl.crypto.keys import KEY_BYTES, KeyMaterial, WrappedKey, encryption_context
from vault_etl.keys.make import GeneratedKey, UnseenKey
from vault_etl.platform.aws_failures import Subject, translated
from vault_etl.platform.aws_refusals import InvalidCallError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from types_boto3_kms.client import KMSClient
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient


SERVICE: Final = "KMS"

_SETTING: Final = {
    KeyPurpose.DATA: "VAULT_ETL_DATA_KEY",
    KeyPurpose.TOKEN: "VAULT_ETL_TOKEN_KEY",
    KeyPurpose.SOURCE: "VAULT_ETL_TOKEN_KEY",
}


class TrustedKeys:
    """The KMS keys that this installation trusts: an explicit list, or what its aliases point at."""

    def __init__(
        self, kms: KMSClient, names: Mapping[KeyPurpose, str], listed: frozenset[str]
    ) -> None:
        self._kms = kms
        self._names = names
        self._listed = listed
        self._resolved: dict[KeyPurpose, str] = {}

    def trusts(self, purpose: KeyPurpose, arn: str) -> bool:
        """Whether keys of this purpose may be wrapped by the KMS key `arn`."""
        return arn in (self._listed or {self.in_use(purpose)})

    def in_use(self, purpose: KeyPurpose) -> str:
        """The ARN of the KMS key that new keys of this purpose get. It is looked up once."""
        if purpose not in self._resolved:
            name = self._names[purpose]
            with translated(SERVICE, Subject(name, _SETTING[purpose])):
                described = self._kms.describe_key(KeyId=name)
            self._resolved[purpose] = described["KeyMetadata"]["Arn"]
        return self._resolved[purpose]


class KmsKeyGenerator:
    """`KeyGenerator` on KMS."""

    def __init__(self, kms: KMSClient, names: Mapping[KeyPurpose, str]) -> None:
        self._kms = kms
        self._names = names

    def generate(self, purpose: KeyPurpose, field: Field, key_id: int) -> GeneratedKey:
        """See `KeyGenerator.generate`."""
        name = self._names[purpose]
        with translated(SERVICE, Subject(name, _SETTING[purpose])):
            made = self._kms.generate_data_key(
                KeyId=name,
                NumberOfBytes=KEY_BYTES,
                EncryptionContext=encryption_context(purpose, field, key_id),
            )
        return GeneratedKey(KeyMaterial(made["Plaintext"]), made["CiphertextBlob"], made["KeyId"])


class KmsUnseenKeyGenerator:
    """`UnseenKeyGenerator` on KMS."""

    def __init__(self, kms: KMSClient, names: Mapping[KeyPurpose, str]) -> None:
        self._kms = kms
        self._names = names

    def generate_unseen(self, purpose: KeyPurpose, field: KeyField, key_id: int) -> UnseenKey:
        """See `UnseenKeyGenerator.generate_unseen`."""
        name = self._names[purpose]
        with translated(SERVICE, Subject(name, _SETTING[purpose])):
            made = self._kms.generate_data_key_without_plaintext(
                KeyId=name,
                NumberOfBytes=KEY_BYTES,
                EncryptionContext=encryption_context(purpose, field, key_id),
            )
        return UnseenKey(made["CiphertextBlob"], made["KeyId"])


class KmsKeyUnwrapper:
    """`KeyUnwrapper` on KMS."""

    def __init__(self, kms: KMSClient, trusted: TrustedKeys) -> None:
        self._kms = kms
        self._trusted = trusted

    def unwrap(self, key: WrappedKey) -> KeyMaterial:
        """See `KeyUnwrapper.unwrap`.

        The row's ARN goes to KMS and is compared with the one that comes back: without it KMS
        opens a blob that another key made.
        """
        wrapped = wrapped_bytes(key)
        must_be_trusted(self._trusted, key, key.kms_key_arn)
        with asked_about(key):
            opened = self._kms.decrypt(
                KeyId=key.kms_key_arn,
                CiphertextBlob=wrapped,
                EncryptionContext=encryption_context(key.purpose, key.field, key.key_id),
            )
        if opened["KeyId"] != key.kms_key_arn or len(opened["Plaintext"]) != KEY_BYTES:
            message = (
                f"key {key.key_id} is not of the KMS key that its row names, or not of 32 bytes"
            )
            raise UnusableKeyError(message)
        return KeyMaterial(opened["Plaintext"])


def wrapped_bytes(key: WrappedKey) -> bytes:
    """The bytes for KMS. Raises UnusableKeyError if the key is destroyed."""
    if key.wrapped_key is None:
        message = f"key {key.key_id} is destroyed"
        raise UnusableKeyError(message)
    return key.wrapped_key


def must_be_trusted(trusted: TrustedKeys, key: WrappedKey, arn: str) -> None:
    """Raise UnusableKeyError unless this KMS key may wrap this key."""
    if not trusted.trusts(key.purpose, arn):
        message = f"key {key.key_id} is wrapped by a KMS key that is not trusted here"
        raise UnusableKeyError(
            message,
            hint="if that KMS key is yours, VAULT_ETL_TRUSTED_KEY_ARNS has to list it; else find out who"
            " wrote the key, and `vault-etl erase` what is under it",
        )


@contextlib.contextmanager
def asked_about(key: WrappedKey) -> Iterator[None]:
    """Translate what KMS says, and name the key: a denial is KeyDeniedError, of the caller.

    A call that is not valid is so by what the key's row holds, so KMS does not use that key.
    """
    named = f"key {key.key_id} ({key.purpose}, {key.field})"
    try:
        with translated(SERVICE):
            yield
    except UnusableKeyError as error:
        raise type(error)(f"{named}: {error}") from None
    except (DeniedError, InvalidCallError) as error:
        is_of_caller = isinstance(error, DeniedError) and not isinstance(error, KeyUnavailableError)
        kind = KeyDeniedError if is_of_caller else KeyUnavailableError
        hint = f"{error.hint}; its row names {key.kms_key_arn}"
        raise kind(f"{error}: {named}", hint=hint) from None


class KmsKeyRewrapper:
    """`KeyRewrapper` on KMS."""

    def __init__(self, kms: KMSClient, trusted: TrustedKeys) -> None:
        self._kms = kms
        self._trusted = trusted

    def rewrap(self, key: WrappedKey, kms_key_arn: str) -> bytes:
        """See `KeyRewrapper.rewrap`.

        The row's ARN goes to KMS, and both ARNs are compared with those that come back: without
        that, a blob that another key made would be taken for one of ours.
        """
        wrapped = wrapped_bytes(key)
        for arn in (key.kms_key_arn, kms_key_arn):
            must_be_trusted(self._trusted, key, arn)
        context = encryption_context(key.purpose, key.field, key.key_id)
        with asked_about(key):
            made = self._kms.re_encrypt(
                CiphertextBlob=wrapped,
                SourceKeyId=key.kms_key_arn,
                SourceEncryptionContext=context,
                DestinationKeyId=kms_key_arn,
                DestinationEncryptionContext=context,
            )
        if made["SourceKeyId"] != key.kms_key_arn or made["KeyId"] != kms_key_arn:
            message = f"KMS rewrapped key {key.key_id} with other KMS keys than it was told"
            raise UnusableKeyError(message)
        return made["CiphertextBlob"]


class KmsKeyFinder:
    """`KmsKeys` on KMS."""

    def __init__(self, kms: KMSClient, trusted: TrustedKeys) -> None:
        self._kms = kms
        self._trusted = trusted

    def arn(self, name: str) -> str:
        """See `KmsKeys.arn`."""
        with translated(SERVICE, Subject(name)):
            return self._kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"]

    def trusts(self, purpose: KeyPurpose, kms_key_arn: str) -> bool:
        """See `KmsKeys.trusts`."""
        return self._trusted.trusts(purpose, kms_key_arn)

    def in_use(self, purpose: KeyPurpose) -> str:
        """See `KmsKeys.in_use`."""
        return self._trusted.in_use(purpose)
