"""Wrap all keys anew under their KMS keys' newest material, or those of a purpose under another KMS key."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.identity import audit_request
from vault_etl.audit.log import Identity
from vault_etl.base.errors import KeyDeniedError, KeyUnavailableError, UnusableKeyError
from vault_etl.base.progress import Progress
from vault_etl.crypto.fields import Field, KeyField, KeyPurpose
from vault_etl.crypto.keys import StoredKey
from vault_etl.keys.rewrap_key import KeyRewrap, Rewrapped


@dataclass(slots=True)
class RewrapReport:
    """What a run did. A key that somebody else wrapped anew meanwhile is not counted.

    `refused` are the keys that KMS did not rewrap, and `at_fault` those that do not open as they are;
    `unproven` says of which purposes and fields no new bytes were opened, since this caller may not.
    """

    rewrapped: int = 0
    refused: list[int] = field(default_factory=list)
    at_fault: list[int] = field(default_factory=list)
    unproven: set[tuple[KeyPurpose, KeyField]] = field(default_factory=set)


class Rewrap:
    """One run over many keys. Safe to interrupt, to run again, and to run twice at once.

    `begin` makes what wraps one key anew, for a request with this id.
    """

    def __init__(
        self, begin: Callable[[uuid.UUID], KeyRewrap], identity: Identity, progress: Progress
    ) -> None:
        self._begin = begin
        self._identity = identity
        self._progress = progress

    def __call__(self, keys: Sequence[StoredKey], target: str | None = None) -> RewrapReport:
        """Wrap each key anew: by the KMS key that wraps it now, or by `target`, an ARN.

        Of each purpose and field the first key that KMS rewraps is proven before it is written. A
        key that is at fault is left as it is and reported. So is one that KMS refuses, and those like
        it (KMS key, purpose and field, which is what policies tell apart) once one is denied to this
        caller: the others are done. Raises IntegrityError or ConfigurationError if a proof fails, AuditError
        and UnavailableError; what was done until then stays.
        """
        report = RewrapReport()
        asked: set[tuple[KeyPurpose, KeyField]] = set()
        denied: set[tuple[str, KeyPurpose, KeyField]] = set()
        for key in keys:
            kind = (key.purpose, key.field)
            if (key.kms_key_arn, *kind) in denied:
                report.refused.append(key.key_id)
                continue
            try:
                done = self._rewrap(key, target, prove=kind not in asked)
            except UnusableKeyError:
                report.at_fault.append(key.key_id)
                continue
            except KeyUnavailableError as error:
                report.refused.append(key.key_id)
                if isinstance(error, KeyDeniedError):
                    denied.add((key.kms_key_arn, *kind))
                continue
            asked.add(kind)
            if done.proven is False:
                report.unproven.add(kind)
            report.rewrapped += done.swapped
            self._progress.advance(1, purpose=key.purpose.value, field=key.field.value)
        return report

    def _rewrap(self, key: StoredKey, target: str | None, *, prove: bool) -> Rewrapped:
        request = rewrap_request(self._identity, key, target)
        rewrap = self._begin(request.request_id)
        return rewrap(request, key, target or key.kms_key_arn, prove=prove)


def rewrap_request(identity: Identity, key: StoredKey, target: str | None) -> AuditRequest:
    """The request that a key's two entries are made of."""
    reason = f"{key.purpose.value} key {key.key_id} of {key.field.value}"
    fields = (key.field,) if isinstance(key.field, Field) else ()
    if target is not None:
        reason += f", to {target}"
    return audit_request(identity, Action.KEYS_REWRAP, reason, fields=fields)
