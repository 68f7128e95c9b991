"""Sign the head of the audit log, and register the key that signs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.checkpoints import (
    CheckpointStore,
    HeadSigner,
    KeyRegistry,
    PublicKeySource,
    SigningKey,
)
from vault_etl.audit.entries import Action
from vault_etl.audit.identity import audit_request
from vault_etl.audit.log import Identity
from vault_etl.audit.registration import Registration
from vault_etl.audit.signed_log import sign_head, signature_of
from vault_etl.base.errors import ConfigurationError

_HINT: Final = (
    "was it replaced? then add --new-key, and keep the old public key: "
    "`audit verify` needs both (--public-key)"
)


class Checkpointer:
    """`audit checkpoint`: for the role audit, which may read the public key and sign."""

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
        """Sign the head, an empty log's too, and store it.

        The first run registers the key, on the record. Raises ConfigurationError if only other
        keys are registered, unless `new_key`; AuditError, DeniedError, UnavailableError.
        """
        head = self._registry.head()
        key = self._public_key.signing_key()
        registered = self._checkpoints.registered_keys()
        if not any(_same(key, other) for other in registered):
            if registered and not new_key:
                message = "the key that signs the audit log is another than the registered one"
                raise ConfigurationError(message, hint=_HINT)
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
