"""The whole log at one moment, for whoever proves it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vault_etl.audit.chain import LoggedEntry
from vault_etl.audit.checkpoint import Head


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """A row of checkpoints as it stands, which may be anything: any role that signs may store some."""

    seq: int
    hash: bytes | None
    key_hash: bytes | None
    signature: bytes | None
    stored_by: str | None


class BoundRow(NamedTuple):
    """A row that the entry `seq`, of this action, has put where it is in force.

    `digest` is the SHA-256 in hex that the entry's ticket must be; `note` that of a registration.
    """

    seq: int
    action: str
    digest: str | None
    note: str | None


@dataclass(frozen=True, slots=True)
class RecordedSegment:
    """A segment on the record: entries `first` to `last_seq` are in files, and `kept` of them here too.

    `present` is how many of them are here: all, before they are deleted. `kept_sha256` is over numbers
    and hashes of those that stay. The entry `seq` says all of this but `present`.
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
        """Its last entry."""
        return Head(self.last_seq, self.last_hash or b"")

    @property
    def is_deleted(self) -> bool:
        """Whether entries are gone."""
        return self.present != self.last_seq - self.first + 1


class LogSnapshot(Protocol):
    """One moment of the log. Nothing in it is believed. What has lost its number has 0."""

    def vault_ids(self) -> Sequence[uuid.UUID]:
        """The vault's id; none, or two, if the table was changed."""

    def heads(self) -> Sequence[Head]:
        """The head; none, or two, if the table was changed."""

    def entries(self) -> Iterator[LoggedEntry]:
        """All entries by seq, streamed."""

    def checkpoints(self) -> Iterator[StoredCheckpoint]:
        """All checkpoints by seq, streamed."""

    def segments(self) -> Sequence[RecordedSegment]:
        """Every segment on the record, in the order of the log."""

    def bound(self) -> Iterator[BoundRow] | None:
        """All policies, registrations, changes of keys and segments by seq, streamed.

        None if they are not there: then what entries have set is not judged.
        """

    def wrong_amounts(self) -> Iterator[int]:
        """The seqs of intents that count for another number of values than their reason says, streamed."""

    def unexplained_keys(self) -> Iterator[int]:
        """The ids of keys that are not what the newest entry about them says, streamed."""


class LogProver(Protocol):
    """May read the log and its checkpoints (role audit)."""

    def snapshot(self) -> AbstractContextManager[LogSnapshot]:
        """All of it as it is now, while others append. Raises DeniedError, UnavailableError."""
