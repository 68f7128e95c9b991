"""The end of all data keys that nothing needs, in one go."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from vault_etl.audit.audited import audited
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditLog
from vault_etl.base.progress import Progress
from vault_etl.crypto.fields import Field
from vault_etl.crypto.keys import KeyState, StoredKey
from vault_etl.keys.end import PAGE_KEYS, KeyEnder
from vault_etl.keys.store import KeyLister


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
