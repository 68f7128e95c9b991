"""The audit log as a hash chain (docs/formats.md, Audit hash), and a snapshot of it with what it is bound to."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from vault_etl.audit.checkpoint import Head
from vault_etl.crypto.digest import sha256

_GENESIS: Final = b"vault-etl/1/audit-genesis"
_ENTRY: Final = b"vault-etl/1/audit"

_pack_numbers: Final = struct.Struct(">qq").pack
_pack_length: Final = struct.Struct(">BI").pack
_pack_count: Final = struct.Struct(">H").pack


class LoggedEntry(NamedTuple):
    """An entry as the log holds it. Its content is untrusted: the owner may have changed it.

    A tuple, since a log has a million entries. All columns after `microseconds` (since 1970 UTC; None
    for a value that is not a time) and before `hash` are hashed in this order.
    """

    seq: int
    microseconds: int | None
    request_id: str | None
    phase: str | None
    login: str | None
    client_address: str | None
    actor: str | None
    host: str | None
    action: str | None
    record_id: str | None
    fields: Sequence[str | None] | None
    purpose: str | None
    ticket: str | None
    reason: str | None
    decision: str | None
    error_code: str | None
    prev_hash: bytes | None
    hash: bytes | None

    def computed_hash(self) -> bytes | None:
        """Compute the hash of the columns; None if they cannot be columns of an entry."""
        if self.microseconds is None or self.fields is None:
            return None
        try:
            parts = [_ENTRY, _pack_numbers(self.seq, self.microseconds)]
            parts += [_encoded(value) for value in self[2:10]]
            parts.append(_pack_count(len(self.fields)))
            parts += [_encoded(element) for element in sorted(self.fields)]  # type: ignore[type-var]
            parts += [_encoded(value) for value in self[11:17]]
        except (TypeError, struct.error):
            return None
        return sha256(b"".join(parts))


def genesis(vault_id: uuid.UUID) -> bytes:
    """Return the `prev_hash` of entry 1, which is also the hash of an empty log's head."""
    return sha256(_GENESIS, vault_id.bytes)


def _encoded(value: object) -> bytes:
    if value is None:
        return b"\0"
    content = value.encode() if isinstance(value, str) else value
    if not isinstance(content, bytes):
        message = "an entry has text and bytes alone"
        raise TypeError(message)
    return _pack_length(1, len(content)) + content


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A row of checkpoints as stored. Its content is untrusted: any role that signs may store some."""

    seq: int
    hash: bytes | None
    key_hash: bytes | None
    signature: bytes | None
    stored_by: str | None


class BoundRow(NamedTuple):
    """A row that the entry `seq`, of this action, has put in force.

    `digest` is the SHA-256 in hex that the entry's ticket must be; `note` is a registration's note.
    """

    seq: int
    action: str
    digest: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class RecordedSegment:
    """A segment on the record: entries `first` to `last_seq` are in files, and `kept` of them here too.

    `present` is how many of them are here: all, before they are deleted. `kept_sha256` is over numbers
    and hashes of the entries that stay. The entry `seq` states all of this but `present`.
    """

    first: int
    last_seq: int
    prev_hash: bytes | None
    last_hash: bytes | None
    kept: int
    kept_sha256: bytes | None
    manifest_sha256: bytes | None
    location: str | None
    seq: int
    present: int

    @property
    def last(self) -> Head:
        """The segment's last entry."""
        return Head(self.last_seq, self.last_hash or b"")

    @property
    def is_deleted(self) -> bool:
        """Say whether entries of the segment were deleted."""
        return self.present != self.last_seq - self.first + 1


class LogSnapshot(Protocol):
    """A consistent snapshot of the log; all of its content is untrusted. A row without a number has 0."""

    def vault_ids(self) -> Sequence[uuid.UUID]:
        """Return the vault's id; none, or two, if the table was changed."""

    def heads(self) -> Sequence[Head]:
        """Return the head; none, or two, if the table was changed."""

    def entries(self) -> Iterator[LoggedEntry]:
        """Stream all entries by seq."""

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """Stream all checkpoints by seq."""

    def segments(self) -> Sequence[RecordedSegment]:
        """Return every segment on the record, in the order of the log."""

    def bound(self) -> Iterator[BoundRow] | None:
        """Stream all policies, registrations, changes of keys and segments by seq.

        None if the snapshot does not have them: then the things that entries have set are not judged.
        """

    def wrong_amounts(self) -> Iterator[int]:
        """Stream the seqs of intents that count for another number of values than their reason states."""

    def unexplained_keys(self) -> Iterator[int]:
        """Stream the ids of keys that differ from the newest entry about them."""
