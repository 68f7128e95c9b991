"""Statements that change a table of one rendering to that of another. They read no row of a large table."""

from __future__ import annotations

from collections.abc import Iterator

from vault_etl.base.errors import ConfigurationError
from vault_etl.schema.made_tables import MadeTable, TableColumn


def table_changes(old: MadeTable, new: MadeTable, *, small: bool) -> Iterator[str]:
    """Yield statements. Constraints of a table that is not small hold for new rows, and are validated online.

    Raises ConfigurationError for a change that no declaration causes.
    """
    validity = "" if small else " NOT VALID"
    table = f"vault_etl.{new.name}"
    if old.columns.keys() - new.columns.keys() or old.rest != new.rest:
        raise _unexpected(table)
    for name, column in new.columns.items():
        yield from _column_changes(table, old.columns.get(name), column, validity)
    for name, text in new.constraints.items():
        if old.constraints.get(name) != text:
            if name in old.constraints:
                yield f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}"
            yield f"ALTER TABLE {table} ADD CONSTRAINT {name} {text}{validity}"


def column_additions(old: MadeTable, new: MadeTable) -> Iterator[str]:
    """Yield the clauses that add the new columns, for tables that get the constraints when they are attached."""
    for name, column in new.columns.items():
        if name not in old.columns:
            yield f"ADD COLUMN {column.name} {column.type}"


def _column_changes(
    table: str, old: TableColumn | None, new: TableColumn, validity: str
) -> Iterator[str]:
    if old is None:
        if new.not_null:
            raise _unexpected(table)
        yield f"ALTER TABLE {table} ADD COLUMN {new.name} {new.type}"
    elif old.type != new.type or (new.not_null and not old.not_null):
        raise _unexpected(table)
    elif old.not_null and not new.not_null:
        yield f"ALTER TABLE {table} ALTER COLUMN {new.name} DROP NOT NULL"
    if new.check != (old and old.check):
        if old is not None and old.check is not None:
            yield f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {old.check_name}"
        if new.check is not None:
            yield f"ALTER TABLE {table} ADD CONSTRAINT {new.check_name} {new.check}{validity}"


def _unexpected(table: str) -> ConfigurationError:
    message = f"{table} cannot be changed to what this declaration needs"
    return ConfigurationError(message, hint="nothing was changed: report this as a fault")
