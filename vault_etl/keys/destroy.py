"""Destroy keys: once nothing needs a key, its wrapped bytes are deleted for good."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog, audited
from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.needed import (
    DestroyTarget,
    DestroyTargetFinder,
    KeyLister,
    refuse_if_unattached_need,
)
from vault_etl.platform.clock import Progress


@dataclass(frozen=True, slots=True)
class Destroyed:
    """The keys that were destroyed, and the number of rows whose old tokens were cleared."""

    key_ids: tuple[int, ...]
    rows_cleared: int


class KeyDestruction:
    """Destroys a key. After an interruption at any point, another run finishes.

    Everything that needs a key is counted without the fence, which would stop every loader during
    the count: no process writes under a key that is `decrypt_only`, so after that state is
    committed the count only falls (docs/adr/0011-destroy-counts-before-the-fence.md).
    """

    def __init__(
        self,
        *,
        audit: AuditLog,
        keys_to_destroy: DestroyTargetFinder,
        ender: KeyEnder,
        old_tokens: OldTokens,
        progress: Progress,
    ) -> None:
        self._audit = audit
        self._keys_to_destroy = keys_to_destroy
        self._ender = ender
        self._old_tokens = old_tokens
        self._progress = progress

    def __call__(self, request: AuditRequest, to_destroy: DestroyTarget) -> Destroyed:
        """Destroy the keys of `to_destroy` that are not destroyed yet.

        An active data key whose lease has expired is retired first, and stays retired if it is needed.
        The old tokens of a generation of token keys are cleared first, also if months that are not
        attached hold more of them: the table then has room for the next rotation. Raises
        ConfigurationError, with the counts, while something needs a key; IncompleteError if the keys
        change meanwhile; AuditError and UnavailableError.
        """
        with audited(self._audit, request):
            if to_destroy.generation is None and to_destroy.keys[0].state is KeyState.ACTIVE:
                self._ender.retire_expired(request, to_destroy.key_ids)
            needs = self._keys_to_destroy.needs(to_destroy)
            rows = 0
            if to_destroy.generation is not None:
                rows = clear_tokens(self._old_tokens, to_destroy.generation, self._progress)
                # All rows are read once: wrong kept counts must not destroy a key. A cut-over that came
                # between two pages exchanges the columns, so pages alone may miss rows.
                needs = self._keys_to_destroy.needs(to_destroy, counted=True)
                if needs.old_tokens:
                    raise _changed_meanwhile(to_destroy)
            refuse_if_unattached_need(to_destroy, needs)
            ended = tuple(self._ender.destroy(request, to_destroy.key_ids))
            if ended != to_destroy.key_ids and self._keys_to_destroy.find(to_destroy.key_id).keys:
                raise _changed_meanwhile(to_destroy)
            return Destroyed(ended, rows)


def _changed_meanwhile(to_destroy: DestroyTarget) -> IncompleteError:
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
        """The ids of `keys`, in ascending order."""
        return tuple(sorted(key.key_id for key in self.keys))

    @property
    def fields(self) -> tuple[FieldName, ...]:
        """The fields of `keys`, in the order of the alphabet."""
        return tuple(sorted({key.field for key in self.keys}))

    def __str__(self) -> str:
        return f"{len(self.keys)} data keys that nothing needs"


def unused_keys(lister: KeyLister, *, counted: bool = False) -> UnusedKeys:
    """Find the data keys that nothing needs, by the kept counts; `counted` reads all records instead."""
    return UnusedKeys(tuple(usage.key for usage in lister.usage(counted=counted) if usage.unused))


class UnusedKeyDestruction:
    """Destroys all data keys that nothing needs. After an interruption at any point, another run finishes.

    As for one key, nothing is counted behind the fence: keys whose lease has expired are retired
    first, and all records are counted once after that commit
    (docs/adr/0011-destroy-counts-before-the-fence.md): the kept counts alone destroy no key.
    One transaction retires or destroys `PAGE_KEYS` keys at most, and writes one entry.
    """

    def __init__(
        self, *, audit: AuditLog, lister: KeyLister, ender: KeyEnder, progress: Progress
    ) -> None:
        self._audit = audit
        self._lister = lister
        self._ender = ender
        self._progress = progress

    def __call__(self, request: AuditRequest, unused: UnusedKeys) -> tuple[int, ...]:
        """Destroy the keys of `unused` that nothing needs at that time; return their ids in ascending order.

        A key that turns out to be needed stays, retired. Raises AuditError and UnavailableError.
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
"""The most keys of one transaction, which holds the fence and the end of the log all the while."""


class KeyEnder(Protocol):
    """May retire and destroy keys behind the fence. The transaction includes the entry of the audit log."""

    def retire_expired(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        """Make these data keys `decrypt_only` if their lease has expired, in one transaction; return their ids.

        Takes `PAGE_KEYS` ids at most. Keys whose lease runs, and keys that are not active, stay as they are.
        """

    def destroy(self, request: AuditRequest, key_ids: Sequence[int]) -> Sequence[int]:
        """Delete the wrapped bytes of these keys in one transaction; return the ids of the keys that had some.

        Only keys that are `decrypt_only` by then are destroyed: no row is written under them any more.
        A pending key is ended by `TokenRotations.abort` alone.
        """


PAGE_ROWS: Final = 5000
"""Small enough that a cut-over or an erasure waits for one page only, not for all of them."""


def clear_tokens(old_tokens: OldTokens, generation: int, progress: Progress) -> int:
    """Set the tokens of `generation` in the columns `next_…` to NULL; return the number of rows.

    Each page is a transaction, so another run continues after an interruption.
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
    """The rows of a page whose tokens were cleared, and the page's last row; None: no page was left."""

    rows: int
    last: uuid.UUID | None


class OldTokens(Protocol):
    """May remove the tokens of a generation that is neither active nor pending from `next_…`."""

    def clear(self, generation: int, after: uuid.UUID | None, limit: int) -> Cleared:
        """Commit NULL in the next tokens, and in their generation, of the first `limit` rows after `after`.

        Changes only rows whose next tokens are of `generation`, and none while that is active or
        pending. Repeat with the result until `last` is None; it is safe to begin again, and to run
        twice at once.
        """


class KeyRetirer(Protocol):
    """May retire data keys, behind the fence."""

    def retire_data_keys(self, request: AuditRequest, fields: Iterable[FieldName]) -> Sequence[int]:
        """Make every active data key of these fields `decrypt_only`, and record it; return their ids."""
