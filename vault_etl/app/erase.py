"""Erasure: the command `erase`."""

from __future__ import annotations

import uuid

from vault_etl.app.audit import head_signer, keep_checkpoint
from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.parts import Parts
from vault_etl.app.records import months
from vault_etl.erase.erase import Erase
from vault_etl.erase.postgres import PostgresEraser


def erase(parts: Parts, request_id: uuid.UUID) -> Erase:
    """Build `erase`."""
    must_be_in_force(parts)
    return Erase(
        PostgresEraser(parts.database, parts.declaration),
        parts.checkpoints,
        head_signer(parts, request_id),
        keep_checkpoint,
        months(parts),
    )
