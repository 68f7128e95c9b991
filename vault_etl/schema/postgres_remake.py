"""Makes the objects of one rendering of the migrations those of another, as the owner, in the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg2.extensions
from psycopg2 import sql

from vault_etl.base.errors import ConfigurationError
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql_names import SqlEvent
from vault_etl.platform.names import Names
from vault_etl.platform.resources import blocks
from vault_etl.schema import postgres_migrations
from vault_etl.schema.rendering import Rendering
from vault_etl.schema.table_changes import column_additions, table_changes
from vault_etl.schema.units import Function, Unit

_SQL: Final = blocks("schema/apply.sql")
_MIGRATIONS: Final = blocks("schema/migrations.sql")
_RUN: Final = frozenset(
    {"table", "view", "index", "trigger", "grant", "revoke", "comment", "select"}
)
"""The kinds of units that are run as they are, if they are new."""

_Cursor = psycopg2.extensions.cursor


def remake(
    cursor: _Cursor, old: Rendering, new: Rendering, declaration: Declaration, names: Names
) -> None:
    """Change tables and views first, then run what `new` has and `old` has not.

    Indexes of tables that are not small are left for later. Raises ConfigurationError for a view that an owner has
    narrowed, and for a change that no declaration causes.
    """
    events = list(map(SqlEvent.of, declaration.events))
    there = [event for event in events if event.name.raw in old.tables]
    _change_tables(cursor, old, new)
    for event in there:
        _extend_view(cursor, event)
    changed = {*old.tables, *(event.name.plus("_masked").raw for event in there)}
    online = {event.name.raw for event in there if not _is_small(cursor, event.name.raw)}
    later = {index.name for index in new.indexes if index.table in online}
    changes = new.besides(old)
    functions = _functions(cursor)
    for unit in new.units:
        if unit not in changes:
            continue
        if isinstance(unit, Function):
            _replace(cursor, unit, functions.get(unit.name, ()), names)
        elif unit.name not in (later if unit.kind == "index" else changed):
            _run(cursor, unit)
    for event in events:
        if event not in there:
            _set_generation(cursor, event)
        if event not in there and not event.retired:
            cursor.execute(_SQL["make_months"], {"event": event.name.raw})


def _set_generation(cursor: _Cursor, event: SqlEvent) -> None:
    """Let a new table take tokens of the active generation, as a cut-over does. Migrations make it for the first."""
    cursor.execute(_SQL["active_generation"])
    ((generation,),) = cursor.fetchall()
    if generation is not None:
        cursor.execute(
            f"ALTER TABLE vault_etl.{event.name} DROP CONSTRAINT tokens_of_one_generation,"
            " ADD CONSTRAINT tokens_of_one_generation CHECK (token_generation = %s)",
            (generation,),
        )


def _change_tables(cursor: _Cursor, old: Rendering, new: Rendering) -> None:
    for name, table in new.tables.items():
        if before := old.tables.get(name):
            for statement in table_changes(before, table, small=_is_small(cursor, name)):
                cursor.execute(statement)
            _add_columns_elsewhere(cursor, name, list(column_additions(before, table)))


def _run(cursor: _Cursor, unit: Unit) -> None:
    if unit.kind not in _RUN:
        message = f"a declaration cannot change a statement of the kind {unit.kind}"
        raise ConfigurationError(message, hint="nothing was changed: report this as a fault")
    cursor.execute(unit.text)


def _is_small(cursor: _Cursor, table: str) -> bool:
    """Tell whether the rows of a table are read in a second or two, so that no work is left to be done online."""
    cursor.execute(_MIGRATIONS["table_bytes"], {"tables": [table]})
    ((size,),) = cursor.fetchall()
    return bool(size <= postgres_migrations.SMALL_BYTES)


def _add_columns_elsewhere(cursor: _Cursor, table: str, clauses: Sequence[str]) -> None:
    """Add the columns to the tables of months that are not attached; `attach` gives them all else."""
    if clauses:
        cursor.execute(_SQL["other_tables"], {"table": table})
        for (name,) in cursor.fetchall():
            cursor.execute(f"ALTER TABLE {name} {', '.join(clauses)}")


def _extend_view(cursor: _Cursor, event: SqlEvent) -> None:
    """Add the new columns at the end, where CREATE OR REPLACE VIEW takes them."""
    name = event.name.plus("_masked")
    cursor.execute(_SQL["view"], {"event": event.name.raw})
    ((columns, options, is_plain),) = cursor.fetchall()
    added = [column.raw for column in event.shown if column.raw not in columns]
    if not added:
        return
    if not is_plain:
        message = f"the view {name} has another definition than `migrate` gave it"
        hint = "make it again as migrations/schema.sql has it, apply the declaration, and narrow it then"
        raise ConfigurationError(message, hint=hint)
    with_ = f" WITH ({', '.join(options)})" if options else ""
    text = (
        f"CREATE OR REPLACE VIEW vault_etl.{name}{with_} AS SELECT {{}} FROM vault_etl.{event.name}"  # noqa: S608 - declared names
    )
    shown = sql.SQL(", ").join(map(sql.Identifier, [*columns, *added]))
    cursor.execute(sql.SQL(text).format(shown))


@dataclass(frozen=True, slots=True)
class MadeFunction:
    """A function of the database: its signature in SQL, and its parts as `Function` has them."""

    signature: str
    arguments: str
    result: str


def _functions(cursor: _Cursor) -> Mapping[str, Sequence[MadeFunction]]:
    """The functions by name. Some have several forms."""
    cursor.execute(_SQL["functions"])
    found = dict[str, list[MadeFunction]]()
    for name, *parts in cursor.fetchall():
        found.setdefault(name, []).append(MadeFunction(*parts))
    return found


def _replace(
    cursor: _Cursor,
    function: Function,
    made: Sequence[MadeFunction],
    names: Names,
) -> None:
    """Make a function again while others may call it. One with other arguments or another result is dropped first."""
    shape = (names.put_into(function.arguments), names.put_into(function.result))
    for other in made:
        if (other.arguments, other.result) != shape:
            cursor.execute(f"DROP FUNCTION {other.signature}")
    cursor.execute(function.replacing)
