"""Which commands read from a replica: these, if VAULT_ETL_READ_URL is set, and no others."""

from __future__ import annotations

from typing import Final

FROM_REPLICA: Final = frozenset(
    {"duplicates", "keys list", "audit list", "audit verify", "quarantine list", "doctor"}
)
"""By the words of a command. They look through many rows, and nothing is decided by what they find.

All others write, or need the state of this moment: looks and their entries, counts before a key ends, the
months before one is detached. `doctor` reads there what `--deep` counts. `status` is of the primary, whose
sessions it shows, and each of its looks is short.
"""
