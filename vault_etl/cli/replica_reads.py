"""The commands that read from a replica, if VAULT_ETL_READ_URL is set."""

from __future__ import annotations

from typing import Final

FROM_REPLICA: Final = frozenset(
    {"duplicates", "keys list", "audit list", "audit verify", "quarantine list", "doctor"}
)
"""The words of these commands. They read many rows, and decide nothing by them.

All other commands write, or need the current state: accesses and their entries, counts before a key is
destroyed, the months before one is detached. `doctor` reads the replica for the counts of `--deep`. `status`
reads the primary, whose sessions it shows, with short queries.
"""
