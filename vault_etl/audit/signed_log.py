"""The audit log whose head is signed after every outcome, before anything is shown."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from vault_etl.audit.checkpoint import Checkpoint, Head, Signature
from vault_etl.audit.checkpoints import CheckpointStore, HeadSigner, SigningKey
from vault_etl.audit.entries import LOOKS, AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditLog
from vault_etl.base.errors import (
    AuditError,
    ConfigurationError,
    PolicyDeniedError,
    VaultEtlError,
)


class SignedLog:
    """`AuditLog`, signed.

    A look needs a registered key, and is refused before its intent without one. A change of keys
    does not: the first of them may come before the first checkpoint. `keep` gets every signed
    note, so that it leaves the database.
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

    def intend(self, request: AuditRequest) -> AuditReceipt:
        """See `AuditLog.intend`. Raises ConfigurationError if a look could not be signed."""
        if request.action in LOOKS and not self._checkpoints.registered_keys():
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

    def conclude(self, receipt: AuditReceipt, error_code: str | None = None) -> Head:
        """See `AuditLog.conclude`. Raises AuditError if the head is not signed and kept.

        Not after a failure, which shows nothing, and whose own error says more.
        """
        head = self._log.conclude(receipt, error_code)
        if error_code is None:
            receipt.checkpoint = self.sign(head)
        else:
            with contextlib.suppress(VaultEtlError):
                self._sign(head)
        return head

    def sign(self, head: Head) -> str | None:
        """The signed note of an outcome that is committed, stored and kept.

        None if no key is registered. Raises AuditError if it cannot be done: then show nothing.
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
    """Sign a head that is committed, store it, and hand it to `keep`; None if no key is registered.

    Raises what `sign_head` raises.
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
    """Sign `head`, check that one of `keys` did, and store it.

    Which one is KMS's choice, so registrations of other keys, true or not, stop nobody. Raises
    AuditError if none of them did, and whatever KMS and Postgres say.
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
    """Sign `text`: the key of `keys` whose signature it is, and whose ARN KMS names. In DER.

    Raises AuditError if it is not one of them, and what `HeadSigner.sign` raises.
    """
    content = text.encode()
    made = signer.sign(content)
    for key in keys:
        if made.kms_key_arn in {None, key.kms_key_arn} and key.key.verifies(content, made.der):
            return key, made.der
    message = "another key signs than the one that is registered"
    raise AuditError(
        message, hint="is VAULT_ETL_AUDIT_KEY right? `vault-etl audit checkpoint --new-key`"
    )
