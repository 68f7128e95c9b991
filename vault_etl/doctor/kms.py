"""What kind of key a KMS key is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vault_etl.doctor.views import KmsKey
from vault_etl.keys.kms import SERVICE
from vault_etl.platform.aws_failures import Subject, translated

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient


class KmsKeyDescriber:
    """`KmsKeys` on KMS."""

    def __init__(self, kms: KMSClient) -> None:
        self._kms = kms

    def describe(self, name: str) -> KmsKey:
        """See `KmsKeys.describe`."""
        with translated(SERVICE, Subject(name)):
            found = self._kms.describe_key(KeyId=name)["KeyMetadata"]
        # AWS always tells all three; an emulator may not.
        state, spec, usage = (
            str(found.get(name, f"no {name}")) for name in ("KeyState", "KeySpec", "KeyUsage")
        )
        return KmsKey(state, spec, usage)
