"""What kind of key a KMS key is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_etl.adapters.aws import translated
from vault_etl.adapters.aws_kms import SERVICE
from vault_etl.ports.doctor import KmsKey

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient


class KmsKeyDescriber:
    """`KmsKeys` on KMS."""

    def __init__(self, kms: KMSClient) -> None:
        self._kms = kms

    def describe(self, name: str) -> KmsKey:
        """See `KmsKeys.describe`."""
        with translated(SERVICE):
            found = self._kms.describe_key(KeyId=name)["KeyMetadata"]
        return KmsKey(found["KeyState"], found["KeySpec"], found["KeyUsage"])
