"""Rewrap keys: under the newest material of their KMS keys, or those of a purpose under another KMS key."""

from __future__ import annotations

import contextlib
import dataclasses
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import AuditLog, Identity, audit_request, audited
from vault_etl.base.errors import (
    ConfigurationError,
    IntegrityError,
    KeyDeniedError,
    KeyUnavailableError,
    UnusableKeyError,
)
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import StoredKey, WrappedKey
from vault_etl.keys.unwrap import KeyUnwrapper, KmsKeys, must_have_its_fingerprint, prove_kms
from vault_etl.platform.clock import Progress


@dataclass(slots=True)
class RewrapReport:
    """The result of a run. A key that another process rewrapped meanwhile is not counted.

    `refused` are the keys that KMS did not rewrap, and `at_fault` those that do not open as they are;
    `unproven` names the purposes and fields of which no new bytes were opened, since this caller may not.
    """

    rewrapped: int = 0
    refused: list[int] = field(default_factory=list)
    at_fault: list[int] = field(default_factory=list)
    unproven: set[tuple[KeyPurpose, FieldName]] = field(default_factory=set)


class Rewrap:
    """One run over many keys. It is safe to interrupt, to repeat, and to run twice at once.

    `begin` returns the service that rewraps one key, for a request with this id.
    """

    def __init__(
        self, begin: Callable[[uuid.UUID], KeyRewrap], identity: Identity, progress: Progress
    ) -> None:
        self._begin = begin
        self._identity = identity
        self._progress = progress

    def __call__(self, keys: Sequence[StoredKey], target: str | None = None) -> RewrapReport:
        """Rewrap each key under the KMS key that wraps it now, or under `target`, an ARN.

        The first key of each purpose and field that KMS rewraps is proven before it is written. A key
        at fault is left as it is, and reported. So is a key that KMS refuses, and, once one is denied to
        this caller, every key like it (KMS key, purpose and field, which policies distinguish): the run
        continues with the others. Raises IntegrityError or ConfigurationError if a proof fails, AuditError
        and UnavailableError; keys that were rewrapped before stay rewrapped.
        """
        report = RewrapReport()
        asked: set[tuple[KeyPurpose, FieldName]] = set()
        denied: set[tuple[str, KeyPurpose, FieldName]] = set()
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
            self._progress.advance(1, purpose=key.purpose.value, field=key.field)
        return report

    def _rewrap(self, key: StoredKey, target: str | None, *, prove: bool) -> Rewrapped:
        request = rewrap_request(self._identity, key, target)
        rewrap = self._begin(request.request_id)
        return rewrap(request, key, target or key.kms_key_arn, prove=prove)


def rewrap_request(identity: Identity, key: StoredKey, target: str | None) -> AuditRequest:
    """Build the request for a key's two entries."""
    reason = f"{key.purpose.value} key {key.key_id} of {key.field}"
    fields = (key.field,) if key.purpose is not KeyPurpose.SOURCE else ()
    if target is not None:
        reason += f", to {target}"
    return audit_request(identity, Action.KEYS_REWRAP, reason, fields=fields)


@dataclass(frozen=True, slots=True)
class Rewrapped:
    """The result for one key: whether the new bytes replaced the old ones, and whether they were proven.

    `proven` is None if no proof was asked for, and False if KMS does not let this caller open a key.
    """

    swapped: bool
    proven: bool | None


class KeyRewrap:
    """Rewraps one key at a time, each under a request of its own."""

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
        """Rewrap `key` under the KMS key `kms_key_arn`.

        With `prove`, and if the caller may open the old bytes, the new bytes are opened too, under
        their context and under another, before the old bytes are overwritten. Raises IntegrityError if
        the new bytes do not open to the stored key, and ConfigurationError if this KMS ignores the
        context: then nothing is written. Raises UnusableKeyError for a key that did not open before,
        KeyUnavailableError if KMS refuses its KMS key, KeyDeniedError if it is denied to this caller;
        AuditError and UnavailableError.
        """
        with audited(self._audit, request):
            wrapped_key = self._rewrapper.rewrap(key, kms_key_arn)
            new = dataclasses.replace(key, wrapped_key=wrapped_key, kms_key_arn=kms_key_arn)
            proven = self._opens(key, new) if prove else None
            swapped = self._keys.swap(request, key, wrapped_key, kms_key_arn)
            return Rewrapped(swapped, proven)

    def _opens(self, old: WrappedKey, new: WrappedKey) -> bool:
        """Open old bytes, then new ones: a caller who may open the old bytes must be able to open the new ones."""
        try:
            must_have_its_fingerprint(old, self._unwrapper.unwrap(old))
        except KeyDeniedError:
            return False
        try:
            prove_kms(new, self._unwrapper)
        except (KeyUnavailableError, UnusableKeyError):
            raise IntegrityError from None
        return True


class KeyRewrapper(Protocol):
    """May rewrap keys (kms:ReEncrypt), and sees no plaintext."""

    def rewrap(self, key: WrappedKey, kms_key_arn: str) -> bytes:
        """Wrap the same key by the newest material of this KMS key, under the same context.

        Raises the errors of `KeyUnwrapper.unwrap`; both KMS keys must be on the allow-list.
        """


class RewrapTarget:
    """Looks up a KMS key, on the record, and refuses a KMS key that keys may not move to."""

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
        """Return the ARN of the KMS key called `name`, if the keys of `purpose` among `keys` may move to it.

        `request` is None for a dry run. Raises ConfigurationError unless that KMS key and those that
        wrap the keys now are all on the allow-list (else every other process would refuse its keys), and
        if the KMS key wraps keys of another purpose: a caller who may open one purpose could then open
        the other. Raises the errors of `KmsKeys.arn`.
        """
        with contextlib.nullcontext() if request is None else audited(self._audit, request):
            target = self._kms_keys.arn(name)
            self._check(keys, purpose, target)
        return target

    def _check(self, keys: Sequence[StoredKey], purpose: KeyPurpose, target: str) -> None:
        hint = "VAULT_ETL_TRUSTED_KEY_ARNS must list the old KMS key and the new one, everywhere"
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
    """Return the keys under `purpose`'s KMS key that are not under the KMS key `target` yet."""
    return [
        key for key in keys if key.purpose.kms_key is purpose.kms_key and key.kms_key_arn != target
    ]


class WrappedKeys(Protocol):
    """May replace wrapped bytes, which changes neither a key nor its state."""

    def live(self) -> Sequence[StoredKey]:
        """Return every key that is not destroyed: by purpose, then by field, the oldest first."""

    def swap(
        self, request: AuditRequest, key: StoredKey, wrapped_key: bytes, kms_key_arn: str
    ) -> bool:
        """Replace `key`'s bytes and its KMS key by these, on the record.

        Returns False, with nothing changed, if the row holds other bytes by now, or the key is destroyed.
        """
