"""The end of a key: nothing may need it any more, and then its bytes go, for good."""

from __future__ import annotations

from dataclasses import dataclass

from vault_etl.audit.audited import audited
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog
from vault_etl.base.errors import IncompleteError
from vault_etl.base.progress import Progress
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.clear_tokens import OldTokens
from vault_etl.keys.clear_tokens_port import clear_tokens
from vault_etl.keys.end import KeyEnder
from vault_etl.keys.needed import Doomed, DoomedKeys, refuse_if_closed


@dataclass(frozen=True, slots=True)
class Destroyed:
    """Which keys have ended, and of how many rows old tokens went with them."""

    key_ids: tuple[int, ...]
    rows_cleared: int


class KeyDestruction:
    """Destroys a key. Killed anywhere, running it again finishes.

    What needs a key is counted without the fence, which would stop every loader for as long as it
    takes: nobody writes under a key that is `decrypt_only`, so once that is committed the count
    only falls (docs/adr/0011-destroy-counts-before-the-fence.md).
    """

    def __init__(
        self,
        *,
        audit: AuditLog,
        doomed_keys: DoomedKeys,
        ender: KeyEnder,
        old_tokens: OldTokens,
        progress: Progress,
    ) -> None:
        self._audit = audit
        self._doomed_keys = doomed_keys
        self._ender = ender
        self._old_tokens = old_tokens
        self._progress = progress

    def __call__(self, request: AuditRequest, doomed: Doomed) -> Destroyed:
        """Destroy what is left of `doomed`.

        An active data key whose lease is over is retired first, and stays so if it is needed. Of
        a generation of token keys the old tokens go first, also if closed months have more of them: then
        the table has room for the next rotation. Raises ConfigurationError, with the counts, while
        something needs it; IncompleteError if it changes meanwhile; AuditError and
        UnavailableError.
        """
        with audited(self._audit, request):
            if doomed.generation is None and doomed.keys[0].state is KeyState.ACTIVE:
                self._ender.retire_expired(request, doomed.key_ids)
            needs = self._doomed_keys.needs(doomed)
            rows = 0
            if doomed.generation is not None:
                rows = clear_tokens(self._old_tokens, doomed.generation, self._progress)
                # From all rows, once: kept counts that are wrong end no key. And a cut-over in between has the
                # columns change places under the pages.
                needs = self._doomed_keys.needs(doomed, counted=True)
                if needs.old_tokens:
                    raise _changed(doomed)
            refuse_if_closed(doomed, needs)
            ended = tuple(self._ender.destroy(request, doomed.key_ids))
            if ended != doomed.key_ids and self._doomed_keys.find(doomed.key_id).keys:
                raise _changed(doomed)
            return Destroyed(ended, rows)


def _changed(doomed: Doomed) -> IncompleteError:
    return IncompleteError(
        f"{doomed} changed meanwhile", hint="wait for rotations that are running, and run it again"
    )
