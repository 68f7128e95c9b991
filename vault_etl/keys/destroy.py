"""The end of a key: nothing may need it any more, and then its bytes go, for good."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import Field
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.needed import KeyLister, KeysToDestroy, KeyToDestroy, refuse_if_closed
from vault_etl.platform.clock import Progress


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
        keys_to_destroy: KeysToDestroy,
        ender: KeyEnder,
        old_tokens: OldTokens,
        progress: Progress,
    ) -> None:
        self._audit = audit
        self._doomed_keys = keys_to_destroy
        self._ender = ender
        self._old_tokens = old_tokens
        self._progress = progress

    def __call__(self, request: AuditRequest, to_destroy: KeyToDestroy) -> Destroyed:
        """Destroy what is left of `to_destroy`.

        An active data key whose lease is over is retired first, and stays so if it is needed. Of
        a generation of token keys the old tokens go first, also if closed months have more of them: then
        the table has room for the next rotation. Raises ConfigurationError, with the counts, while
        something needs it; IncompleteError if it changes meanwhile; AuditError and
        UnavailableError.
        """
        with audited(self._audit, request):
            if to_destroy.generation is None and to_destroy.keys[0].state is KeyState.ACTIVE:
                self._ender.retire_expired(request, to_destroy.key_ids)
            needs = self._doomed_keys.needs(to_destroy)
            rows = 0
            if to_destroy.generation is not None:
                rows = clear_tokens(self._old_tokens, to_destroy.generation, self._progress)
                # From all rows, once: kept counts that are wrong end no key. And a cut-over in between has the
                # columns change places under the pages.
                needs = self._doomed_keys.needs(to_destroy, counted=True)
                if needs.old_tokens:
                    raise _changed_meanwhile(to_destroy)
            refuse_if_closed(to_destroy, needs)
            ended = tuple(self._ender.destroy(request, to_destroy.key_ids))
            if ended != to_destroy.key_ids and self._doomed_keys.find(to_destroy.key_id).keys:
                raise _changed_meanwhile(to_destroy)
            return Destroyed(ended, rows)


def _changed_meanwhile(to_destroy: KeyToDestroy) -> IncompleteError:
    return IncompleteError(
        f"{to_destroy} changed meanwhile",
        hint="wait for rotations that are running, and run it again",
    )


@dataclass(frozen=True, slots=True)
class UnusedKeys:
    """Data keys that nothing needs, the oldest first."""

    keys: tuple[StoredKey, ...]

    @property
    def key_ids(self) -> tuple[int, ...]:
        """Of `keys`, in order."""
        return tuple(sorted(key.key_id for key in self.keys))

    @property
    def fields(self) -> tuple[Field, ...]:
        """What they are of."""
        return tuple(field for field in Field if any(key.field == field for key in self.keys))

    def __str__(self) -> str:
        return f"{len(self.keys)} data keys that nothing needs"


def unused_keys(lister: KeyLister, *, counted: bool = False) -> UnusedKeys:
    """Find them, by the kept counts; `counted` reads all records instead."""
    return UnusedKeys(tuple(usage.key for usage in lister.usage(counted=counted) if usage.unused))


class UnusedKeyDestruction:
    """Destroys data keys that nothing needs. Killed anywhere, running it again finishes.

    As for one key, nothing is counted behind the fence: keys whose lease is over are retired first,
    and all records are counted, once, after that commit
    (docs/adr/0011-destroy-counts-before-the-fence.md): the kept counts alone end no key.
    Keys are retired and destroyed `PAGE_KEYS` in a transaction, each of which is an entry.
    """

    def __init__(
        self, *, audit: AuditLog, lister: KeyLister, ender: KeyEnder, progress: Progress
    ) -> None:
        self._audit = audit
        self._lister = lister
        self._ender = ender
        self._progress = progress

    def __call__(self, request: AuditRequest, unused: UnusedKeys) -> tuple[int, ...]:
        """Destroy those of `unused` that nothing needs by then; their ids, in order.

        Keys that are needed after all stay, retired. Raises AuditError and UnavailableError.
        """
        with audited(self._audit, request):
            expired = (key.key_id for key in unused.keys if key.state is KeyState.ACTIVE)
            for page in _pages(sorted(expired)):
                self._ender.retire_expired(request, page)
            ended = list[int]()
            for page in _pages(self._still_unused(unused.key_ids)):
                destroyed = self._ender.destroy(request, page)
                ended += destroyed
                self._progress.advance(len(destroyed))
            return tuple(sorted(ended))

    def _still_unused(self, key_ids: Collection[int]) -> Sequence[int]:
        asked = set(key_ids)
        return sorted(
            key.key_id
            for key in unused_keys(self._lister, counted=True).keys
            if key.key_id in asked and key.state is KeyState.DECRYPT_ONLY
        )


def _pages(key_ids: Sequence[int]) -> Iterator[Sequence[int]]:
    return (key_ids[start : start + PAGE_KEYS] for start in range(0, len(key_ids), PAGE_KEYS))


PAGE_KEYS: Final = 5_000
"""How many keys end in one transaction: it has the fence and the end of the log to itself."""


class KeyEnder(Protocol):
    """May end keys, behind the fence, and on the record: the entry is part of the transaction."""

    def retire_expired(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        """Make those of these data keys `decrypt_only` whose lease is over, in one transaction; their ids.

        `PAGE_KEYS` at most. Those whose lease runs, and those that are not active, are left.
        """

    def destroy(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        """Take the bytes of these keys away, in one transaction; the ids of those that had some.

        Only of keys that are `decrypt_only` then: those gain no row any more. A pending key is ended
        by `TokenRotations.abort` alone.
        """


PAGE_ROWS: Final = 5000
"""Short enough that a cut-over or an erasure waits for a page, and not for all of them."""


def clear_tokens(old_tokens: OldTokens, generation: int, progress: Progress) -> int:
    """Clear what `next_…` holds of `generation`; how many rows that was.

    Each page is committed by itself: interrupted, it goes on where it was when it is run again.
    """
    rows = 0
    after: uuid.UUID | None = None
    while True:
        cleared = old_tokens.clear(generation, after, PAGE_ROWS)
        if cleared.last is None:
            return rows
        after = cleared.last
        rows += cleared.rows
        progress.advance(cleared.rows, generation=generation)


@dataclass(frozen=True, slots=True)
class Cleared:
    """Of how many rows of a page something was taken; and the last row of the page, None if there was no page left."""

    rows: int
    last: uuid.UUID | None


class OldTokens(Protocol):
    """May take the tokens of a generation that is neither active nor pending out of `next_…`."""

    def clear(self, generation: int, after: uuid.UUID | None, limit: int) -> Cleared:
        """Commit NULL in the next tokens and their generation of the first `limit` rows behind `after`.

        Only of those whose next tokens are of `generation`, and of none while that is active or
        pending. To be repeated with what it returns until `last` is None; safe to repeat from the
        start, and to run twice at once.
        """


class KeyRetirer(Protocol):
    """May retire data keys, behind the fence."""

    def retire_data_keys(self, request: AuditRequest, fields: Iterable[Field]) -> Sequence[int]:
        """Make every active data key of these fields `decrypt_only`, on the record; their ids."""
