"""KMS: rewrapping keys, which never shows one, and looking up what to rewrap them under."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_etl.base.errors import UnusableKeyError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import WrappedKey, encryption_context
from vault_etl.keys.kms import (
    SERVICE,
    TrustedKeys,
    asked_about,
    must_be_trusted,
    wrapped_bytes,
)
from vault_etl.platform.aws_failures import Subject, translated

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
