"""Signing the head of the audit log, and registering the key that signs it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final, Protocol

from typing_extensions import override

from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head, Registration, Signature
from vault_etl.audit.entries import ACCESS_ACTIONS, Action, AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog, Identity, audit_request
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    PolicyDeniedError,
    VaultEtlError,
)


class SignedLog(AuditLog):
    """Writes entries, and signs the head after every outcome, before a result is shown.

    An access needs a registered key, and is refused before its intent without one. A change of keys
    does not: the first of them may come before the first checkpoint. `keep` receives every signed
    note, so that the note leaves the database.
    """

    def __init__(
        self,
        log: AuditLog,
        checkpoints: CheckpointStore,
        signer: HeadSigner,
        keep: Callable[[Checkpoint], None],
    ) -> None:
        self._log = log
        self._checkpoints = checkpoints
        self._signer = signer
        self._keep = keep

    @override
    def intend(self, request: AuditRequest) -> AuditReceipt:
        """Commit the intent. Raises ConfigurationError if an access could not be signed."""
        if request.action in ACCESS_ACTIONS and not self._checkpoints.registered_keys():
            message = "no key is registered that signs the audit log"
            raise ConfigurationError(
                message, hint="once, with the role audit: `vault-etl audit checkpoint`"
            )
        try:
            return self._log.intend(request)
        except PolicyDeniedError as denied:
            with contextlib.suppress(VaultEtlError):
                self._sign(Head(denied.seq, denied.hash))
            raise

    @override
    def conclude(self, receipt: AuditReceipt, error_code: str | None = None) -> Head:
        """Commit the outcome. Raises AuditError if the head is not signed and kept.

        After a failure no AuditError is raised: nothing is shown, and the failure's own error says more.
        """
        head = self._log.conclude(receipt, error_code)
        if error_code is None:
            receipt.checkpoint = self.sign(head)
        else:
            with contextlib.suppress(VaultEtlError):
                self._sign(head)
        return head

    def sign(self, head: Head) -> str | None:
        """Sign, store and keep the head of a committed outcome; return the note.

        None if no key is registered. Raises AuditError if signing fails: then show nothing.
        """
        try:
            return self._sign(head)
        except VaultEtlError as error:
            message = f"the head of the audit log could not be signed: {error}"
            raise AuditError(
                message, hint="nothing was shown; see to the audit key first"
            ) from None

    def _sign(self, head: Head) -> str | None:
        checkpoint = sign_and_keep(head, self._checkpoints, self._signer, self._keep)
        return checkpoint.note if checkpoint else None


def sign_and_keep(
    head: Head,
    checkpoints: CheckpointStore,
    signer: HeadSigner,
    keep: Callable[[Checkpoint], None],
) -> Checkpoint | None:
    """Sign a committed head, store the checkpoint, and pass it to `keep`; None if no key is registered.

    Raises the errors of `sign_head`.
    """
    keys = checkpoints.registered_keys()
    if not keys:
        return None
    checkpoint = sign_head(head, checkpoints, signer, keys)
    keep(checkpoint)
    return checkpoint


def sign_head(
    head: Head, checkpoints: CheckpointStore, signer: HeadSigner, keys: Sequence[SigningKey]
) -> Checkpoint:
    """Sign `head`, check that one of `keys` signed it, and store the checkpoint.

    KMS chooses the key, so registrations of other keys, true or false, block no signer. Raises
    AuditError if none of `keys` signed, and the errors of KMS and Postgres.
    """
    unsigned = Checkpoint(checkpoints.vault_id(), head)
    signed, der = signature_of(unsigned.text, signer, keys)
    line = Signature(unsigned.origin, signed.key.hash, der)
    checkpoint = Checkpoint(unsigned.vault_id, head, (line,))
    checkpoints.store(checkpoint)
    return checkpoint


def signature_of(
    text: str, signer: HeadSigner, keys: Sequence[SigningKey]
) -> tuple[SigningKey, bytes]:
    """Sign `text`; return the key of `keys` that signed, under the ARN that KMS names, and the DER signature.

    Raises AuditError if none of `keys` signed, and the errors of `HeadSigner.sign`.
    """
    content = text.encode()
    made = signer.sign(content)
    for key in keys:
        if made.kms_key_arn in {None, key.kms_key_arn} and key.key.verifies(content, made.der):
            return key, made.der
    message = "the key that signs is not the registered one"
    raise AuditError(
        message, hint="is VAULT_ETL_AUDIT_KEY right? `vault-etl audit checkpoint --new-key`"
    )


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A KMS key that signs the log, or archives, and its public half."""

    kms_key_arn: str
    key: AuditKey


@dataclass(frozen=True, slots=True)
class KmsSignature:
    """A signature in DER, and the ARN of the KMS key that made it: None if the KMS does not name it."""

    kms_key_arn: str | None
    der: bytes


class HeadSigner(Protocol):
    """May sign (kms:Sign), and need not know the public half of the key."""

    def sign(self, text: bytes) -> KmsSignature:
        """Sign `text`, under 4,096 bytes, with ECDSA_SHA_256.

        Raises DeniedError, KeyUnavailableError, ConfigurationError or UnavailableError.
        """


class PublicKeySource(Protocol):
    """May read the public half of a key that signs (kms:GetPublicKey)."""

    def signing_key(self) -> SigningKey:
        """Return the key that the settings name. Raises the errors of `HeadSigner.sign`."""


class CheckpointStore(Protocol):
    """Keeps checkpoints in the database, and knows which keys are registered to sign them."""

    def vault_id(self) -> uuid.UUID:
        """Return the id of this vault."""

    def registered_keys(self) -> Sequence[SigningKey]:
        """Return the keys that are registered and have proven it, the newest first."""

    def store(self, checkpoint: Checkpoint) -> None:
        """Commit a signed head of this vault's log. Raises DeniedError for any other."""


class KeyRegistry(Protocol):
    """May register keys that sign, and read the end of the log (role audit)."""

    def register(self, request: AuditRequest, registration: Registration) -> Head:
        """Accept this key's signatures from now on, on the record; return the head after the entry.

        Raises AuditError.
        """

    def head(self) -> Head:
        """Return the newest entry."""


_NEW_KEY_HINT: Final = (
    "was it replaced? then add --new-key, and keep the old public key: "
    "`audit verify` needs both (--public-key)"
)


class Checkpointer:
    """Runs `audit checkpoint`, for the role audit, which may read the public key and sign."""

    def __init__(
        self,
        *,
        registry: KeyRegistry,
        checkpoints: CheckpointStore,
        public_key: PublicKeySource,
        signer: HeadSigner,
        identity: Identity,
        keep: Callable[[Checkpoint], None],
    ) -> None:
        self._registry = registry
        self._checkpoints = checkpoints
        self._public_key = public_key
        self._signer = signer
        self._identity = identity
        self._keep = keep

    def __call__(self, *, new_key: bool = False) -> Checkpoint:
        """Sign the head, an empty log's too, and store the checkpoint.

        The first run registers the key, on the record. Raises ConfigurationError if only other
        keys are registered, unless `new_key`; AuditError, DeniedError, UnavailableError.
        """
        head = self._registry.head()
        key = self._public_key.signing_key()
        registered = self._checkpoints.registered_keys()
        if not any(_same(key, other) for other in registered):
            if registered and not new_key:
                message = "the key that signs the audit log is not the registered one"
                raise ConfigurationError(message, hint=_NEW_KEY_HINT)
            head = self._register(head, key)
        checkpoint = sign_head(head, self._checkpoints, self._signer, [key])
        self._keep(checkpoint)
        return checkpoint

    def _register(self, head: Head, key: SigningKey) -> Head:
        """Register the key with a proof that it signs, which is checked before it is stored."""
        vault_id = self._checkpoints.vault_id()
        unproven = Registration(vault_id, head, key.kms_key_arn, key.key)
        _, signature = signature_of(unproven.text, self._signer, [key])
        request = audit_request(
            self._identity, Action.KEY_REGISTER, "this key signs the log from now on"
        )
        return self._registry.register(request, replace(unproven, signature=signature))


def _same(one: SigningKey, other: SigningKey) -> bool:
    return (one.kms_key_arn, one.key.spki) == (other.kms_key_arn, other.key.spki)
