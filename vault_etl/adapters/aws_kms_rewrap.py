"""KMS: rewrapping keys, which never shows one, and looking up what to rewrap them under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_etl.adapters.aws import translated
from vault_etl.adapters.aws_kms import SERVICE, TrustedKeys
from vault_etl.core.fields import KeyPurpose
from vault_etl.core.keys import WrappedKey, encryption_context
from vault_etl.errors import DeniedError, KeyDeniedError, KeyDestroyedError, KeyUnavailableError

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient


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
        if key.wrapped_key is None:
            message = f"key {key.key_id} is destroyed"
            raise KeyDestroyedError(message)
        for arn in (key.kms_key_arn, kms_key_arn):
            if not self._trusted.trusts(key.purpose, arn):
                message = f"key {key.key_id}: a KMS key that is not trusted here"
                raise KeyUnavailableError(message, hint="see VAULT_ETL_TRUSTED_KEY_ARNS")
        context = encryption_context(key.purpose, key.field, key.key_id)
        try:
            with translated(SERVICE):
                made = self._kms.re_encrypt(
                    CiphertextBlob=key.wrapped_key,
                    SourceKeyId=key.kms_key_arn,
                    SourceEncryptionContext=context,
                    DestinationKeyId=kms_key_arn,
                    DestinationEncryptionContext=context,
                )
        except KeyUnavailableError:
            raise
        except DeniedError as error:
            message = f"{error}: key {key.key_id} ({key.purpose}, {key.field})"
            raise KeyDeniedError(message, hint=error.hint) from None
        if made["SourceKeyId"] != key.kms_key_arn or made["KeyId"] != kms_key_arn:
            message = f"KMS rewrapped key {key.key_id} with other KMS keys than it was told"
            raise KeyUnavailableError(message)
        return made["CiphertextBlob"]


class KmsKeyFinder:
    """`KmsKeys` on KMS."""

    def __init__(self, kms: KMSClient, trusted: TrustedKeys) -> None:
        self._kms = kms
        self._trusted = trusted

    def arn(self, name: str) -> str:
        """See `KmsKeys.arn`."""
        with translated(SERVICE):
            return self._kms.describe_key(KeyId=name)["KeyMetadata"]["Arn"]

    def trusts(self, purpose: KeyPurpose, kms_key_arn: str) -> bool:
        """See `KmsKeys.trusts`."""
        return self._trusted.trusts(purpose, kms_key_arn)
