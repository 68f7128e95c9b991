"""Abort a rotation of the token keys, before its cut-over: everything is as it was before it began."""

from __future__ import annotations

from dataclasses import dataclass

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.destroy import OldTokens, clear_tokens
from vault_etl.keys.needed import KeyLister
from vault_etl.platform.clock import Progress
from vault_etl.rotation.rotations import TokenRotations


@dataclass(frozen=True, slots=True)
class Aborted:
    """The pending keys, which are destroyed, and how many rows had tokens of theirs."""

    destroyed: tuple[int, ...]
    rows: int


class AbortTokens:
    """Destroys the pending generation behind the fence, then takes its tokens out of the rows."""

    def __init__(
        self,
        audit: AuditLog,
        rotations: TokenRotations,
        lister: KeyLister,
        old_tokens: OldTokens,
        progress: Progress,
    ) -> None:
        self._audit = audit
        self._rotations = rotations
        self._lister = lister
        self._old_tokens = old_tokens
        self._progress = progress

    def __call__(self, request: AuditRequest) -> Aborted:
        """Abort. Run again, it takes away what an interrupted run has left; after that, nothing.

        Raises AuditError, UnavailableError. What was done until then stays.
        """
        with audited(self._audit, request):
            destroyed = tuple(self._rotations.abort(request))
            given_up = {
                usage.key.generation
                for usage in self._lister.usage()
                if usage.key.purpose is KeyPurpose.TOKEN
                and usage.key.state is KeyState.DESTROYED
                and usage.rows
            }
            rows = sum(
                clear_tokens(self._old_tokens, generation, self._progress)
                for generation in sorted(filter(None, given_up))
            )
        return Aborted(destroyed, rows)
