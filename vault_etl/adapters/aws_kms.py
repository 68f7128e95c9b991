"""KMS: making and unwrapping keys, as two types, since they are two permissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from vault_etl.adapters.aws import translated
from vault_etl.core.fields import Field, KeyField, KeyPurpose
from vault_etl.core.keys import KEY_BYTES, KeyMaterial, WrappedKey, encryption_context
from vault_etl.errors import (
    DeniedError,
    KeyDeniedError,
    KeyDestroyedError,
    KeyUnavailableError,
)
from vault_etl.ports.key_service import GeneratedKey, UnseenKey

if TYPE_CHECKING:
    from collections.abc import Mapping

    from types_boto3_kms.client import KMSClient

SERVICE: Final = "KMS"


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
        return arn in (self._listed or {self._resolve(purpose)})

    def _resolve(self, purpose: KeyPurpose) -> str:
        if purpose not in self._resolved:
            with translated(SERVICE):
                described = self._kms.describe_key(KeyId=self._names[purpose])
            self._resolved[purpose] = described["KeyMetadata"]["Arn"]
        return self._resolved[purpose]


class KmsKeyGenerator:
    """`KeyGenerator` on KMS."""

    def __init__(self, kms: KMSClient, names: Mapping[KeyPurpose, str]) -> None:
        self._kms = kms
        self._names = names

    def generate(self, purpose: KeyPurpose, field: Field, key_id: int) -> GeneratedKey:
        """See `KeyGenerator.generate`."""
        with translated(SERVICE):
            made = self._kms.generate_data_key(
                KeyId=self._names[purpose],
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
        with translated(SERVICE):
            made = self._kms.generate_data_key_without_plaintext(
                KeyId=self._names[purpose],
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
        if key.wrapped_key is None:
            message = f"key {key.key_id} is destroyed"
            raise KeyDestroyedError(message)
        if not self._trusted.trusts(key.purpose, key.kms_key_arn):
            message = f"key {key.key_id} is wrapped by a KMS key that is not trusted here"
            raise KeyUnavailableError(message, hint="see VAULT_ETL_TRUSTED_KEY_ARNS")
        try:
            with translated(SERVICE):
                opened = self._kms.decrypt(
                    KeyId=key.kms_key_arn,
                    CiphertextBlob=key.wrapped_key,
                    EncryptionContext=encryption_context(key.purpose, key.field, key.key_id),
                )
        except KeyUnavailableError:
            raise
        except DeniedError as error:
            message = f"{error}: key {key.key_id} ({key.purpose}, {key.field})"
            raise KeyDeniedError(message, hint=error.hint) from None
        if opened["KeyId"] != key.kms_key_arn or len(opened["Plaintext"]) != KEY_BYTES:
            message = f"KMS opened key {key.key_id} with another KMS key than the row names"
            raise KeyUnavailableError(message)
        return KeyMaterial(opened["Plaintext"])
