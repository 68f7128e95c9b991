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

KEYWORDS: Final = frozenset(
    """
    all analyse analyze and any array as asc asymmetric authorization between bigint binary bit boolean both case cast
    char character check coalesce collate collation column concurrently constraint create cross current_catalog
    current_date current_role current_schema current_time current_timestamp current_user dec decimal default deferrable
    desc distinct do else end except exists extract false fetch float for foreign freeze from full grant greatest group
    grouping having ilike in initially inner inout int integer intersect interval into is isnull join json json_array
    json_arrayagg json_exists json_object json_objectagg json_query json_scalar json_serialize json_table json_value
    lateral leading least left like limit localtime localtimestamp merge_action national natural nchar none normalize
    not notnull null nullif numeric offset on only or order out outer overlaps overlay placing position precision
    primary real references returning right row select session_user setof similar smallint some substring symmetric
    system_user table tablesample then time timestamp to trailing treat trim true union unique user using values
    varchar variadic verbose when where window with xmlattributes xmlconcat xmlelement xmlexists xmlforest
    xmlnamespaces xmlparse xmlpi xmlroot xmlserialize xmltable
    """.split()  # noqa: SIM905 - 160 words
)
"""The key words that PostgreSQL does not take as every name: those of 18, and a test compares the server's."""

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
        "lake_sets",
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
