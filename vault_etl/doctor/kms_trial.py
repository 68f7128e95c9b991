"""Trials of calls to KMS, by its parameter `DryRun`: KMS judges the call, and makes and opens nothing.

The AWS KMS Developer Guide, "Testing your permissions": each such call fails, with DryRunOperationException if it would
have succeeded. `Decrypt` needs no ciphertext with IGNORE_CIPHERTEXT, so a field is tried before it has a key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError
from typing_extensions import override

from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KEY_BYTES, encryption_context
from vault_etl.doctor.permissions import KeyCall, Permission, PermissionTrial
from vault_etl.keys.kms import SERVICE
from vault_etl.platform.aws_errors import code_of, translated

if TYPE_CHECKING:
    from types_boto3_kms.client import KMSClient

_KEY_ID: Final = 0
"""The key id in the contexts of trials, which no key has: CloudTrail tells trials by it."""

_ANSWERS: Final[Mapping[str, bool]] = {
    "DryRunOperationException": True,
    "AccessDeniedException": False,
}
_NOT_UNDERSTOOD: Final = frozenset({"InvalidCiphertextException", "ValidationException"})
"""The answers to a `Decrypt` without a ciphertext where IGNORE_CIPHERTEXT is not known, as by LocalStack."""


class KmsTrial(PermissionTrial):
    """Asks KMS, by the names of the KMS keys that wrap new keys of each purpose."""

    def __init__(self, kms: KMSClient, names: Mapping[KeyPurpose, str]) -> None:
        self._kms = kms
        self._names = names

    @override
    def allows(self, permission: Permission) -> bool | None:
        """Return KMS's answer. An emulator that does the call, or does not understand it, ignores the parameter."""
        with translated(SERVICE):
            try:
                self._try(permission)
            except ClientError as error:
                code = code_of(error.response)
                if code in _ANSWERS:
                    return _ANSWERS[code]
                if code not in _NOT_UNDERSTOOD:
                    raise
        return None

    def _try(self, permission: Permission) -> None:
        name = self._names[permission.purpose]
        context = encryption_context(permission.purpose, permission.field, _KEY_ID)
        match permission.call:
            case KeyCall.MAKE:
                self._kms.generate_data_key(
                    KeyId=name, NumberOfBytes=KEY_BYTES, EncryptionContext=context, DryRun=True
                )
            case KeyCall.MAKE_UNSEEN:
                self._kms.generate_data_key_without_plaintext(
                    KeyId=name, NumberOfBytes=KEY_BYTES, EncryptionContext=context, DryRun=True
                )
            case KeyCall.OPEN:
                self._kms.decrypt(
                    KeyId=name,
                    EncryptionContext=context,
                    DryRun=True,
                    DryRunModifiers=["IGNORE_CIPHERTEXT"],
                )
