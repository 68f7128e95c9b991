"""The whole log at one moment, for whoever proves it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vault_etl.core.audit_chain import LoggedEntry
from vault_etl.core.checkpoint import Head


@dataclass(frozen=True, slots=True)
class StoredNote:
    """A checkpoint as it is stored: what its row says, and the signed note."""

    seq: int
    hash: bytes
    note: str


class LogSnapshot(Protocol):
    """One moment of the log. Nothing in it is believed."""

    def beginning(self) -> tuple[uuid.UUID, Head | None, Mapping[int, str]]:
        """The vault's id, the head, and of each policy and key the SHA-256 in hex, by its seq."""

    def entries(self) -> Iterator[LoggedEntry]:
        """All entries by seq, streamed."""

    def notes(self) -> Iterator[StoredNote]:
        """All checkpoints by seq, streamed."""


class LogProver(Protocol):
    """May read the log and its checkpoints (role audit)."""

    def snapshot(self) -> AbstractContextManager[LogSnapshot]:
        """All of it as it is now, while others append. Raises DeniedError, UnavailableError."""
