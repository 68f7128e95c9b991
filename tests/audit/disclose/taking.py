"""A disclosure in a session of its own."""

from __future__ import annotations

import psycopg2

from tests.kit.entries import (
    release,
)
from tests.kit.scratch import Scratch

Denied = psycopg2.errors.InsufficientPrivilege


def take(database: Scratch, seq: int, role: str = "reveal") -> dict[str, bytes]:
    """Disclose in a new session."""
    with database.connect(role) as opened:
        return release(opened, seq)
