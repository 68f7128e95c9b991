"""Where keys may be moved to: another KMS key, which everybody must trust before anything is moved."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from vault_etl.audit.audited import audited
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog
from vault_etl.base.errors import ConfigurationError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import StoredKey
from vault_etl.keys.service import KmsKeys


class RewrapTarget:
    """Looks a KMS key up, on the record, and refuses one that keys may not move to."""

    def __init__(self, audit: AuditLog, kms_keys: KmsKeys) -> None:
        self._audit = audit
        self._kms_keys = kms_keys

    def __call__(
        self,
        request: AuditRequest | None,
        keys: Sequence[StoredKey],
        purpose: KeyPurpose,
        name: str,
    ) -> str:
        """The ARN of the KMS key called `name`, if the keys of `purpose` among `keys` may move to it.

        `request` is None for a dry run. Raises ConfigurationError unless it and the KMS keys that
        they are under now are all on the allow-list (every other process would refuse its keys),
        and if keys of another purpose are under it: whoever may open the one could then open the
        other. And what `KmsKeys.arn` raises.
        """
        with contextlib.nullcontext() if request is None else audited(self._audit, request):
            target = self._kms_keys.arn(name)
            self._check(keys, purpose, target)
        return target

    def _check(self, keys: Sequence[StoredKey], purpose: KeyPurpose, target: str) -> None:
        hint = "VAULT_ETL_TRUSTED_KEY_ARNS has to list the old KMS key and the new one, everywhere"
        if not self._kms_keys.trusts(purpose, target):
            raise ConfigurationError(f"the KMS key {target} is not trusted here", hint=hint)
        for arn in sorted(
            {key.kms_key_arn for key in keys if key.purpose.kms_key is purpose.kms_key}
        ):
            if not self._kms_keys.trusts(purpose, arn):
                message = (
                    f"the KMS key {arn}, which wraps {purpose.value} keys, is not trusted here"
                )
                raise ConfigurationError(message, hint=hint)
        if any(
            key.purpose.kms_key is not purpose.kms_key and key.kms_key_arn == target for key in keys
        ):
            message = f"the KMS key {target} wraps keys of another purpose"
            raise ConfigurationError(message, hint="each purpose has a KMS key of its own")


def to_move(keys: Sequence[StoredKey], purpose: KeyPurpose, target: str) -> list[StoredKey]:
    """The keys under `purpose`'s KMS key that are not under the KMS key `target` yet."""
    return [
        key for key in keys if key.purpose.kms_key is purpose.kms_key and key.kms_key_arn != target
    ]
