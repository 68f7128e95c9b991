"""Names of fields, events and columns: their form, and the names that the vault or Postgres has already."""

from __future__ import annotations

import re
from typing import Final

NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")
"""31 characters, so that Postgres, which cuts names at 63 bytes, has room for `next_`, `_ciphertext` and a
partition's month."""

NAME_WORDS: Final = "a lower-case letter, then up to 30 lower-case letters, digits and _"

MAX_NAME_BYTES: Final = 63
"""The longest name of a relation in Postgres: NAMEDATALEN - 1."""

_FIELDS: Final = frozenset({"quarantine", "source", "token", "next_token"})
"""Fields of the vault's own keys, the bodies of quarantined messages and loaded files, and of its own counts."""

_COLUMNS: Final = frozenset(
    {
        *("record_id", "token_generation"),
        *("tableoid", "ctid", "xmin", "xmax", "cmin", "cmax"),  # Postgres has these in every table
    }
)

OWN_TABLES: Final = frozenset(
    {
        "archived_erasures",
        "audit_actions",
        "audit_amounts",
        "audit_checkpoints",
        "audit_disclosed",
        "audit_head",
        "audit_keys",
        "audit_log",
        "audit_rates",
        "audit_segments",
        "audit_turn",
        "closed_months",
        "data_key_makers",
        "data_keys",
        "detached_changes",
        "detached_values",
        "file_loads",
        "file_sources",
        "ingest_commits",
        "key_changes",
        "key_fence",
        "key_rotations",
        "migrations",
        "quarantine",
        "reveal_policies",
        "rotation_ranges",
        "schema_versions",
        "value_counts",
        "vault",
    }
)
"""The tables of the vault that no event declares."""


def is_reserved_field(name: str) -> bool:
    """Tell whether the vault has keys of its own under this name, or replaces it in SQL."""
    return name in _FIELDS or _is_replaced(name)


def is_reserved_event(name: str) -> bool:
    """Tell whether the vault has a table of this name, or may have an index of it: its table's name, then `_…`.

    `values` is the vault's own: it has a function `values_counted`, as each event has an `EVENT_counted`.
    """
    parts = name.split("_")
    return name == "values" or any(
        "_".join(parts[:count]) in OWN_TABLES for count in range(1, len(parts) + 1)
    )


def is_reserved_column(name: str) -> bool:
    """Tell whether a column of this name is the vault's, is made for a personal value, or is Postgres's own."""
    made = name.startswith("next_") or name.endswith("_ciphertext")
    return name in _COLUMNS or made or _is_replaced(name)


def _is_replaced(name: str) -> bool:
    """Tell whether SQL has this name for the vault's schema or roles, which `platform/names.py` replaces."""
    return name == "vault_etl" or name.startswith("vault_etl_")
