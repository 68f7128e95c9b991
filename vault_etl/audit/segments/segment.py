"""A segment of the audit log: its manifest (docs/formats.md, Audit segment), its store, and spans of the log."""

from __future__ import annotations

import datetime as dt
import json
import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from vault_etl.audit.chain import LoggedEntry, LogSnapshot, StoredCheckpoint
from vault_etl.audit.checkpoint import Checkpoint, Head
from vault_etl.crypto.digest import sha256

FORMAT: Final = "vault-etl/1/audit-segment"
MAX_MANIFEST_BYTES: Final = 16 * 1024 * 1024
MANIFEST: Final = ".manifest.json"
HASH_BYTES: Final = 32

_NAME: Final = re.compile(r"(audit-[0-9]{12,19}-[0-9]{12,19})\.manifest\.json")


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """The number of lines of a file, its size in bytes, and the SHA-256 of its bytes."""

    rows: int
    size: int
    sha256: bytes


@dataclass(frozen=True, slots=True)
class SegmentManifest:
    """The manifest: entries `first` to `last.seq`, after the one whose hash is `prev_hash`.

    `checkpoint` is a signed note of `last`, and `registrations` are the notes of the keys that were
    registered at the time of the export: a hint, since a key proves something only if it is known from
    elsewhere.
    """

    vault_id: uuid.UUID
    first: int
    prev_hash: bytes
    last: Head
    last_at: dt.datetime
    checkpoint: str
    registrations: tuple[str, ...]
    entries: SegmentFile
    checkpoints: SegmentFile

    @property
    def name(self) -> str:
        """The beginning of its files' names."""
        return segment_name(self.first, self.last.seq)

    @property
    def content(self) -> bytes:
        """The bytes of the file; the record of a trim has their SHA-256."""
        found = {
            "format": FORMAT,
            "vault_id": str(self.vault_id),
            "first_seq": self.first,
            "last_seq": self.last.seq,
            "prev_hash": self.prev_hash.hex(),
            "last_hash": self.last.hash.hex(),
            "last_time": moment_text(self.last_at),
            "checkpoint": self.checkpoint,
            "registrations": list(self.registrations),
            "entries": _described(self.entries),
            "checkpoints": _described(self.checkpoints),
        }
        return json.dumps(found, indent=2).encode("ascii") + b"\n"

    @property
    def sha256(self) -> bytes:
        """The SHA-256 of `content`."""
        return sha256(self.content)

    @classmethod
    def parse(cls, content: bytes) -> SegmentManifest:
        """Read a manifest, byte for byte. Raises ValueError for anything else."""
        try:
            found = json.loads(content)
            parsed = cls(
                vault_id=uuid.UUID(found["vault_id"]),
                first=_count(found["first_seq"]),
                prev_hash=_hash(found["prev_hash"]),
                last=Head(_count(found["last_seq"]), _hash(found["last_hash"])),
                last_at=parse_moment(found["last_time"]),
                checkpoint=found["checkpoint"],
                registrations=tuple(map(str, found["registrations"])),
                entries=_parse_file(found["entries"]),
                checkpoints=_parse_file(found["checkpoints"]),
            )
            signed = Checkpoint.parse(parsed.checkpoint)
            if parsed.content == content and (signed.vault_id, signed.head) == (
                parsed.vault_id,
                parsed.last,
            ):
                return parsed
        except (LookupError, TypeError, AttributeError, ValueError, RecursionError):
            pass
        message = "it is not a manifest of a segment"
        raise ValueError(message)


def segment_name(first: int, last: int) -> str:
    """Return the beginning of a segment's file names; sorted by name, segments are in the order of the log."""
    return f"audit-{first:012}-{last:012}"


def segment_of(name: str) -> str | None:
    """Return the segment's name if this is the name of its manifest; None for another file."""
    found = _NAME.fullmatch(name)
    return found[1] if found else None


def moment_text(moment: dt.datetime) -> str:
    """Format as ISO 8601 in UTC, with microseconds: 2026-01-31T12:00:00.000000Z."""
    return moment.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse_moment(text: str) -> dt.datetime:
    """Return the moment. Raises ValueError for any other form."""
    return dt.datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=dt.UTC)


def _described(file: SegmentFile) -> dict[str, object]:
    return {"rows": file.rows, "bytes": file.size, "sha256": file.sha256.hex()}


def _parse_file(found: Any) -> SegmentFile:  # noqa: ANN401 - whatever JSON held
    return SegmentFile(_count(found["rows"]), _count(found["bytes"]), _hash(found["sha256"]))


def _count(found: Any) -> int:  # noqa: ANN401 - whatever JSON held
    if type(found) is not int or not 0 <= found < 2**63:
        raise ValueError
    return found


def _hash(found: Any) -> bytes:  # noqa: ANN401 - whatever JSON held
    content = bytes.fromhex(found)
    if len(content) != HASH_BYTES:
        raise ValueError
    return content


Span = tuple[int, int]
"""The seqs of the first and of the last entry."""


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """An entry that a segment may end with, its time, and a stored checkpoint of it."""

    head: Head
    logged_at: dt.datetime
    checkpoint: StoredCheckpoint


class LogSpans(LogSnapshot, Protocol):
    """A consistent snapshot of the log, and of parts of it."""

    def entries_of(self, span: Span) -> Iterator[LoggedEntry]:
        """Stream the entries of a span by seq."""

    def checkpoints_of(self, span: Span) -> Iterator[StoredCheckpoint]:
        """Stream the checkpoints of a span's entries by seq."""

    def ends(self, span: Span, until: dt.datetime) -> Iterator[SegmentEnd]:
        """Stream the span's entries that were logged before `until` and have a checkpoint, the newest first."""


class StoredSegment(Protocol):
    """The files of one segment. All of their content is untrusted."""

    manifest: SegmentManifest
    """The content of the files, as their manifest states it."""

    location: str
    """The place of the files, for a person and for the record."""

    def entries(self) -> Iterator[LoggedEntry]:
        """Stream the entries by seq. Raises DataError if the file does not match the manifest."""

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """Stream the checkpoints of all entries but the last one, by seq. Raises DataError likewise."""


class SegmentStore(Protocol):
    """Keeps segments."""

    def segments(self) -> Sequence[StoredSegment]:
        """Return the stored segments, in the order of the log. Raises DataError for a damaged manifest."""

    def write(
        self,
        draft: SegmentDraft,
        entries: Iterator[LoggedEntry],
        checkpoints: Iterator[StoredCheckpoint],
    ) -> SegmentManifest:
        """Store a new segment, its manifest last. Raises IncompleteError if a segment of this name is stored."""


@dataclass(frozen=True, slots=True)
class SegmentDraft:
    """The part of a manifest that does not follow from the files."""

    vault_id: uuid.UUID
    first: int
    prev_hash: bytes
    last: Head
    last_at: dt.datetime
    checkpoint: str
    registrations: tuple[str, ...]
