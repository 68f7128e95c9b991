"""Export the entries of the audit log that are older than a moment into segments."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from vault_etl.audit.chain import LoggedEntry, genesis
from vault_etl.audit.checkpoint import AuditKey, Checkpoint, Head, Signature
from vault_etl.audit.entries import Action
from vault_etl.audit.segments.segment import (
    LogSpans,
    SegmentDraft,
    SegmentEnd,
    SegmentManifest,
    SegmentStore,
)
from vault_etl.audit.segments.verify import check_end
from vault_etl.audit.verify_notes import NEVER, is_signed
from vault_etl.base.errors import AuditError, DataError
from vault_etl.platform.clock import Progress

MAX_ENTRIES: Final = 1_000_000
"""The most entries of one segment, so that the transaction that deletes them takes minutes."""

_HINT: Final = "`vault-etl audit verify` tells more; nothing was written of this segment"


class LogExporter:
    """Exports segments, each after the last one: that on the record, or that in the store."""

    def __init__(
        self,
        snapshot: LogSpans,
        keys: Sequence[AuditKey],
        store: SegmentStore,
        progress: Progress,
        max_entries: int = MAX_ENTRIES,
    ) -> None:
        self._snapshot = snapshot
        self._keys = keys
        self._store = store
        self._progress = progress
        self._max_entries = max_entries

    def __call__(self, until: dt.datetime) -> Sequence[SegmentManifest]:
        """Export the entries logged before `until`, up to the newest one that one of the keys signed.

        Raises AuditError if the table does not name this vault, DataError if the log does not
        hold or a segment in the store is not of it, and the errors of the store.
        """
        vaults = self._snapshot.vault_ids()
        if len(vaults) != 1:
            message = "the table vault does not name this vault"
            raise AuditError(message, hint="`vault-etl audit verify` tells more")
        (vault_id,) = vaults
        last = self._exported(Head(0, genesis(vault_id)))
        registrations = tuple(
            row.note or ""
            for row in self._snapshot.bound() or ()
            if row.action == Action.KEY_REGISTER
        )
        made = []
        while (end := self._end(vault_id, last, until)) is not None:
            stored = end.checkpoint
            origin = Checkpoint(vault_id, end.head).origin
            line = Signature(origin, stored.key_hash or b"", stored.signature or b"")
            draft = SegmentDraft(
                vault_id=vault_id,
                first=last.seq + 1,
                prev_hash=last.hash,
                last=end.head,
                last_at=end.logged_at,
                checkpoint=Checkpoint(vault_id, end.head, (line,)).note,
                registrations=registrations,
            )
            # The checkpoint of an empty log belongs to the first segment.
            notes = (draft.first if last.seq else 0, end.head.seq - 1)
            made.append(
                self._store.write(
                    draft, self._entries(last, end.head), self._snapshot.checkpoints_of(notes)
                )
            )
            last = end.head
        return made

    def _exported(self, begin: Head) -> Head:
        """Return the end of the last segment. Raises DataError for one in the store that is not of this log."""
        last = begin
        for row in self._snapshot.segments():
            last = row.last
        for stored in self._store.segments():
            manifest = stored.manifest
            if manifest.first == last.seq + 1 and manifest.prev_hash == last.hash:
                check_end(self._snapshot, self._keys, stored)
                last = manifest.last
        return last

    def _end(self, vault_id: uuid.UUID, last: Head, until: dt.datetime) -> SegmentEnd | None:
        """Return the next segment's end, a checkpoint that one of the keys signed; None: there is no next segment."""
        longest = last.seq + self._max_entries
        for end in (longest, NEVER - 1):
            for found in self._snapshot.ends((last.seq + 1, end), until):
                if is_signed(vault_id, self._keys, found.checkpoint):
                    return found
        return None

    def _entries(self, last: Head, end: Head) -> Iterator[LoggedEntry]:
        """Yield the entries; each must continue the one before it."""
        for entry in self._snapshot.entries_of((last.seq + 1, end.seq)):
            if (
                entry.seq != last.seq + 1
                or entry.prev_hash != last.hash
                or entry.hash is None
                or entry.hash != entry.computed_hash()
            ):
                message = f"the audit log does not hold at entry {last.seq + 1}"
                raise DataError(message, hint=_HINT)
            last = Head(entry.seq, entry.hash)
            self._progress.advance(1)
            yield entry
        if last != end:
            message = f"the audit log does not hold at entry {end.seq}"
            raise DataError(message, hint=_HINT)
