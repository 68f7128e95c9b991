"""A database that was in use before the first migration: objects in the way, and a table that can be kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psycopg2.extensions

from vault_etl.base.errors import ConfigurationError, DeniedError
from vault_etl.platform.resources import blocks
from vault_etl.schema.postgres_schema import FILE

ADOPTED: Final = "adopted.user_logins"
"""The new name of a table `user_logins` that existed before."""

COLUMNS: Final = (
    *("user_id", "device_type", "masked_ip", "masked_device_id"),
    *("locale", "app_version", "create_date"),
)
"""Columns that the table must have: the view of records and adopted rows reads them."""

_SQL: Final = blocks("schema/adoption.sql")
_TABLE: Final = "table public.user_logins"
_OPEN: Final = (
    "as an administrator: ALTER SCHEMA public OWNER TO pg_database_owner;"
    " and run `vault-etl migrate` as the owner of the database"
)
_MOST: Final = 10
"""The most objects that an error names."""


def refuse_what_is_in_the_way(
    cursor: psycopg2.extensions.cursor, folder: Path, *, adopt: bool = False
) -> None:
    """Raise ConfigurationError for objects with the names of objects that the migrations make.

    Logins with a grant of their own to create in `public` are in the way too. With `adopt`, the table of logins
    is not. Raises DeniedError for a login that may not let the owner's role create in `public`.
    """
    cursor.execute(_SQL["closed_schema"])
    if row := cursor.fetchone():
        message = f"the schema public belongs to {row[0]}, and this login cannot close it"
        raise DeniedError(message, hint=_OPEN)
    file = folder / FILE
    names = json.loads(file.read_bytes()).keys() if file.exists() else ()
    cursor.execute(
        _SQL["in_the_way"],
        {
            "relations": _named(names, "table", "view", "sequence"),
            "functions": _named(names, "function"),
            "roles": _named(names, "role"),
        },
    )
    found = [
        (f"{kind} {name}", f"{kind} {name}" + (f", which belongs to {owner}" if owner else ""))
        for kind, name, owner in cursor.fetchall()
        if not (adopt and f"{kind} {name}" == _TABLE)
    ]
    if not found:
        return
    more = f", and {len(found) - _MOST} more" if len(found) > _MOST else ""
    listed = "; ".join(text for _, text in found[:_MOST])
    hint = "rename, move or revoke them, or give vault-etl a database of its own"
    if [name for name, _ in found] == [_TABLE]:
        hint = (
            f"`vault-etl migrate --adopt` keeps its rows, as {ADOPTED}"
            " (docs/how-to/adopt.md); or rename it, or use another database"
        )
    raise ConfigurationError(f"in the way of the migrations: {listed}{more}", hint=hint)


def move_table(cursor: psycopg2.extensions.cursor) -> str | None:
    """Move an existing table `user_logins`, with its rows and indexes, and return its new name.

    The table becomes this login's. Returns None without such a table. Raises ConfigurationError for a table
    without `COLUMNS`, or a table that would run code of its owner, and DeniedError for a table of another login.
    """
    if not _may_be_adopted(cursor):
        return None
    cursor.execute(_SQL["hold"])
    if not _may_be_adopted(cursor):  # it may have changed before the lock
        return None
    cursor.execute(_SQL["move"])
    return ADOPTED


def _may_be_adopted(cursor: psycopg2.extensions.cursor) -> bool:
    cursor.execute(_SQL["table_of_logins"])
    row = cursor.fetchone()
    if row is None:
        return False
    owner, is_ours, is_plain, runs_nothing, columns, taken = row
    if not is_plain:
        raise _not_adopted("it is not an ordinary table, or it is part of another one")
    if not runs_nothing:
        raise _not_adopted(
            "it has a trigger, a rule or a policy, or uses a type or a function that is not PostgreSQL's own"
        )
    if missing := [name for name in COLUMNS if name not in columns]:
        raise _not_adopted(f"it has no column {missing[0]}")
    if taken:
        raise _not_adopted("there is a schema `adopted` already")
    if not is_ours:
        message = f"public.user_logins belongs to {owner}, and this login may not move it"
        raise DeniedError(message, hint=f"as an administrator: GRANT {owner} TO this login")
    return True


def show_both(cursor: psycopg2.extensions.cursor) -> None:
    """Create the view of records and adopted rows, for analysts, after the migrations."""
    cursor.execute(_SQL["show_both"])


def _not_adopted(why: str) -> ConfigurationError:
    return ConfigurationError(
        f"public.user_logins cannot be adopted: {why}",
        hint="rename or move it, or give vault-etl a database of its own",
    )


def _named(names: Iterable[str], *kinds: str) -> list[str]:
    """The bare names of the objects of these kinds in the file of facts."""
    found = (name.partition(" ") for name in names)
    return [name.partition("(")[0] for kind, _, name in found if kind in kinds]
