"""The whole log at one moment, for whoever proves it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from vault_etl.core.audit_chain import LoggedEntry
from vault_etl.core.checkpoint import Head


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

    def bound(self) -> Iterator[BoundRow]:
        """All policies, registrations and changes of keys by seq, streamed."""

    def wrong_amounts(self) -> Iterator[int]:
        """The seqs of intents that count for another number of values than their reason says, streamed."""

    def unexplained_keys(self) -> Iterator[int]:
        """The ids of keys that are not what the newest entry about them says, streamed."""


class LogProver(Protocol):
    """May read the log and its checkpoints (role audit)."""

    def snapshot(self) -> AbstractContextManager[LogSnapshot]:
        """All of it as it is now, while others append. Raises DeniedError, UnavailableError."""
