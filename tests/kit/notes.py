"""Checkpoints as they are stored, read back as signed notes."""

from __future__ import annotations

import uuid
from typing import Any, Protocol

from vault_etl.audit.checkpoint import Checkpoint, Head, Signature


class Sql(Protocol):
    """A database that a statement can be run in."""

    def sql(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Run it, and return its rows."""


def stored_notes(database: Sql) -> list[str]:
    """Every stored checkpoint, by seq and in the order of their coming, as a signed note."""
    rows = database.sql(
        "SELECT vault_id, seq, hash, key_hash, signature FROM vault_etl.vault, vault_etl.audit_checkpoints"
        " ORDER BY seq, checkpoint_id"
    )
    return [_note(*row) for row in rows]


def _note(vault_id: uuid.UUID, seq: int, hash_: Any, key_hash: Any, signature: Any) -> str:  # noqa: ANN401
    bare = Checkpoint(vault_id, Head(seq, bytes(hash_)))
    line = Signature(bare.origin, bytes(key_hash), bytes(signature))
    return Checkpoint(vault_id, bare.head, (line,)).note
