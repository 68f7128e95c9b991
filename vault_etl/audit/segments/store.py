"""Segments of the log: their files, and what the database says about those whose entries it gave up."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.chain import LoggedEntry
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.proof import LogSnapshot, StoredCheckpoint
from vault_etl.audit.segments.manifest import Manifest

Span = tuple[int, int]
"""The numbers of the first and of the last entry."""


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """An entry that a segment may end with, when it was logged, and a checkpoint that is stored of it."""

    head: Head
    logged_at: dt.datetime
    checkpoint: StoredCheckpoint


class LogSpans(LogSnapshot, Protocol):
    """One moment of the log, and parts of it."""

    def entries_of(self, span: Span) -> Iterator[LoggedEntry]:
        """The entries from one number to another by seq, streamed."""

    def checkpoints_of(self, span: Span) -> Iterator[StoredCheckpoint]:
        """The checkpoints of these by seq, streamed."""

    def ends(self, span: Span, until: dt.datetime) -> Iterator[SegmentEnd]:
        """Entries in this span, logged before then, that have a checkpoint: the newest first, streamed."""


class StoredSegment(Protocol):
    """The files of one segment. Nothing in them is believed."""

    @property
    def manifest(self) -> Manifest:
        """What they are."""

    @property
    def location(self) -> str:
        """Where they are, for a person and for the record."""

    def entries(self) -> Iterator[LoggedEntry]:
        """Its entries by seq, streamed. Raises DataError if the file is not what the manifest says."""

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """The checkpoints of its entries but the last one, by seq, streamed. Raises DataError likewise."""


class SegmentStore(Protocol):
    """Where segments are kept."""

    def segments(self) -> Sequence[StoredSegment]:
        """Those that are there, in the order of the log. Raises DataError for a damaged manifest."""

    def write(
        self,
        draft: SegmentDraft,
        entries: Iterator[LoggedEntry],
        checkpoints: Iterator[StoredCheckpoint],
    ) -> Manifest:
        """Store a new segment, its manifest last. Raises IncompleteError if there is one of this name."""


@dataclass(frozen=True, slots=True)
class SegmentDraft:
    """What a manifest says that does not follow from the files."""

    vault_id: uuid.UUID
    first: int
    prev_hash: bytes
    last: Head
    last_at: dt.datetime
    checkpoint: str
    registrations: tuple[str, ...]


class LogTrimmer(Protocol):
    """May delete entries that are in a segment (the owner's login)."""

    def snapshot(self) -> AbstractContextManager[LogSpans]:
        """The log as it is now."""

    def kept(self, first: int, last: int) -> int:
        """How many entries of this span stay."""

    def add(self, request: AuditRequest, manifest: Manifest, location: str) -> None:
        """Put a segment on the record. Raises IncompleteError if it does not continue the last one."""

    def delete(self, last: int) -> int:
        """Delete the entries of the segment on the record that ends there; how many these were."""
