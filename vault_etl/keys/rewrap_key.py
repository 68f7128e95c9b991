"""Wrap one key anew: on the record, proven where the caller may, and swapped in if nobody was faster."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from vault_etl.audit.audited import audited
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog
from vault_etl.base.errors import (
    IntegrityError,
    KeyDeniedError,
    KeyUnavailableError,
    UnusableKeyError,
)
from vault_etl.crypto.keys import StoredKey, WrappedKey
from vault_etl.keys.prove_kms import must_have_its_fingerprint, prove_kms
from vault_etl.keys.rewrap import WrappedKeys
from vault_etl.keys.service import KeyRewrapper, KeyUnwrapper


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """Whether the new bytes took the place of the old ones, and whether they were proven.

    `proven` is None if nobody asked, and False if KMS does not let this caller open a key.
    """

    swapped: bool
    proven: bool | None


class KeyRewrap:
    """One key at a time, each by its own request."""

    def __init__(
        self,
        audit: AuditLog,
        rewrapper: KeyRewrapper,
        unwrapper: KeyUnwrapper,
        keys: WrappedKeys,
    ) -> None:
        self._audit = audit
        self._rewrapper = rewrapper
        self._unwrapper = unwrapper
        self._keys = keys

    def __call__(
        self, request: AuditRequest, key: StoredKey, kms_key_arn: str, *, prove: bool
    ) -> Rewrapped:
        """Wrap `key` anew under the KMS key `kms_key_arn`.

        With `prove`, and if the caller may open the old bytes, the new ones are opened too, under
        their context and another, before the old ones are written over. Raises IntegrityError if
        they do not open to the key that is stored, and ConfigurationError if this KMS ignores the
        context: then nothing is written. Raises
        UnusableKeyError for a key that did not open before, KeyUnavailableError if KMS refuses its KMS
        key, KeyDeniedError if it is denied to this caller; AuditError and UnavailableError.
        """
        with audited(self._audit, request):
            wrapped_key = self._rewrapper.rewrap(key, kms_key_arn)
            new = dataclasses.replace(key, wrapped_key=wrapped_key, kms_key_arn=kms_key_arn)
            proven = self._opens(key, new) if prove else None
            swapped = self._keys.swap(request, key, wrapped_key, kms_key_arn)
            return Rewrapped(swapped, proven)

    def _opens(self, old: WrappedKey, new: WrappedKey) -> bool:
        """Who may open the old bytes must be able to open the new ones: a denial of these is no excuse."""
        try:
            must_have_its_fingerprint(old, self._unwrapper.unwrap(old))
        except KeyDeniedError:
            return False
        try:
            prove_kms(new, self._unwrapper)
        except (KeyUnavailableError, UnusableKeyError):
            raise IntegrityError from None
        return True
