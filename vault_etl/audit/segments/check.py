"""Compare what a segment's manifest says of its end with the log: whoever writes the place can write manifests."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Final

from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.audit.proof import StoredCheckpoint
from vault_etl.audit.segments.manifest import MANIFEST
from vault_etl.audit.segments.store import LogSpans, StoredSegment
from vault_etl.audit.signing_key import AuditKey
from vault_etl.base.errors import DataError

NOTHING_DELETED: Final = "nothing of it was deleted; `vault-etl audit verify` tells more"
"""A hint."""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def check_end(snapshot: LogSpans, keys: Sequence[AuditKey], segment: StoredSegment) -> None:
    """Raise DataError unless one of the keys signed the end, and the log has that entry, of that time.

    The other files of the segment may still be anything.
    """
    manifest = segment.manifest
    note = Checkpoint.parse(manifest.checkpoint)
    microseconds = (manifest.last_at - _EPOCH) // _MICROSECOND
    if list(snapshot.vault_ids()) != [manifest.vault_id]:
        problem = "it is of another vault"
    elif not any(key.signed(note) for key in keys):
        problem = "no key that was given signed its end"
    elif [(microseconds, manifest.last.hash)] != [
        (entry.microseconds, entry.hash)
        for entry in snapshot.entries_of((manifest.last.seq, manifest.last.seq))
    ]:
        problem = f"the log has another entry {manifest.last.seq}, or none"
    else:
        return
    message = f"{segment.location}{MANIFEST} is no segment of this log: {problem}"
    hint = "give the old audit key too, if it has a new one; else delete the file, or take another place"
    raise DataError(message, hint=hint)


class NotesInTable:
    """Is told of every head of a segment in turn, and compares its checkpoints with those in the table.

    Any role that signs stores checkpoints of old entries too, so the table may have more of them, each with
    the hash of its entry. `more` counts these.
    """

    def __init__(self, segment: StoredSegment, table: Iterator[StoredCheckpoint]) -> None:
        self._segment = segment
        self._files = segment.checkpoints()
        self._table = table
        self._next_file = next(self._files, None)
        self._next = next(self._table, None)
        self.more = 0

    def at(self, head: Head) -> None:
        """Compare those of this head. Raises DataError."""
        while (stored := self._next) is not None and stored.seq <= head.seq:
            if stored == self._next_file:
                self._next_file = next(self._files, None)
            elif (stored.seq, stored.hash) == (head.seq, head.hash):
                self.more += 1
            else:
                message = f"the table has a checkpoint of another entry {stored.seq} than itself"
                raise DataError(message, hint=NOTHING_DELETED)
            self._next = next(self._table, None)

    def end(self) -> None:
        """Raise DataError if the file has one that the table does not have."""
        if self._next_file is not None:
            name = f"a checkpoint of entry {self._next_file.seq} in {self._segment.location}"
            raise DataError(f"{name} is not in the table", hint=NOTHING_DELETED)
