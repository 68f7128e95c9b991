"""Compare the schema of a database with the schema that the migrations make, and name every difference."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psycopg2.extensions

from vault_etl.declaration.model import Declaration
from vault_etl.declaration.sql import sql_blocks
from vault_etl.platform.names import Names
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.resources import blocks
from vault_etl.schema.declared_facts import Facts
from vault_etl.schema.facts_file import expected_facts
from vault_etl.schema.online import Fill, Index, Statement, index_of

_AROUND: Final = blocks("schema/schema_around.sql")
_PARTITION: Final = "partition of "
_FIXED: Final = "table audit_actions"
"""The table whose rows are compared too."""
_ROW: Final = "row of "
_NOT_NULL: Final = " NOT NULL "


class PostgresSchema:
    """The schema of one database, compared with what the migrations in `folder` make for the declaration."""

    def __init__(self, database: Database, folder: Path, declaration: Declaration) -> None:
        self._database = database
        self._folder = folder
        self._declaration = declaration
        self._sql = sql_blocks("schema/schema.sql", declaration)

    def differences(self, left: Iterable[Statement] = ()) -> Sequence[str]:
        """Name objects and aspects that are missing, changed, or not of the migrations; never a value.

        Objects of the online statements in `left` may exist, in part or not at all.

        Raises ConfigurationError if the file of the facts is missing.
        """
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            found, alike = self._catalog(cursor)
            facts = expected_facts(self._folder, _as_stored(self._declaration, found))
            expected = _with_names(facts, self._database.names)
            bare = {k: v for k, v in expected[_FIXED].items() if not k.startswith(_ROW)}
            if found.get(_FIXED) == bare:
                found[_FIXED] |= self._rows(cursor)
            else:  # a changed table could run code of its author with this login's rights
                expected[_FIXED] = bare
        for statement in left:
            _pass_over(statement, expected, found, alike)
        partitions = {name for name in expected if name.startswith(_PARTITION)}
        lines = [f"{name} is missing" for name in expected.keys() - found.keys() - partitions]
        for name, aspects in found.items():
            if alike[name] in expected:
                lines += (f"{name}: {line}" for line in _differ(expected[alike[name]], aspects))
            else:
                lines.append(f"{name} is not of the migrations")
        return sorted(lines)

    def facts(self) -> Facts:
        """All facts of this database: all partitions of an event are one kind of object."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            found, alike = self._catalog(cursor)
            found[_FIXED] |= self._rows(cursor)
        return {alike[name]: aspects for name, aspects in found.items()}

    def _catalog(
        self, cursor: psycopg2.extensions.cursor
    ) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
        """The aspects of each object, and for each object the one whose aspects it must have."""
        cursor.execute(self._sql["facts"])
        rows = cursor.fetchall()
        cursor.execute(_AROUND["facts"])
        rows += [(name, name, aspect, value) for name, aspect, value in cursor.fetchall()]
        found: dict[str, dict[str, str]] = {}
        alike: dict[str, str] = {}
        for name, like, aspect, value in rows:
            found.setdefault(name, {})[aspect] = value
            alike[name] = like
        return found, alike

    def _rows(self, cursor: psycopg2.extensions.cursor) -> dict[str, str]:
        cursor.execute(self._sql["rows"])
        return dict(cursor.fetchall())


def _as_stored(declaration: Declaration, found: Facts) -> Declaration:
    """Return the declaration with the required plain columns optional that take NULL: they were added later.

    Rows from before have no value in them, and the workers alone refuse a new record without one
    (docs/adr/0051-a-declaration-is-put-in-force.md).
    """
    events = []
    for event in declaration.events:
        there = found.get(f"table {event.name}", {})
        plain = tuple(
            dataclasses.replace(column, required=False)
            if column.required and _NOT_NULL not in there.get(f"column {column.name}", _NOT_NULL)
            else column
            for column in event.plain
        )
        events.append(dataclasses.replace(event, plain=plain))
    return dataclasses.replace(declaration, events=tuple(events))


def _with_names(facts: Facts, names: Names) -> dict[str, dict[str, str]]:
    put = names.put_into
    return {
        put(name): {put(aspect): put(value) for aspect, value in aspects.items()}
        for name, aspects in facts.items()
    }


def _pass_over(
    statement: Statement,
    expected: dict[str, dict[str, str]],
    found: dict[str, dict[str, str]],
    alike: Mapping[str, str],
) -> None:
    if isinstance(statement, Fill):
        return
    kind = "index" if isinstance(statement, Index) else "constraint"
    likes = (f"table {statement.table}", f"{_PARTITION}{statement.table}")
    for aspects in (expected[like] for like in likes if like in expected):
        aspects.pop(f"{kind} {statement.name}", None)
    for name, aspects in found.items():
        if alike[name] in likes:
            aspects.pop(f"{kind} {statement.name}", None)
            if isinstance(statement, Index):  # built, and not attached yet
                aspects.pop(f"index {index_of(statement, name.removeprefix('table '))}", None)


def _differ(expected: Mapping[str, str], found: Mapping[str, str]) -> list[str]:
    return [
        *(f"{aspect} is missing" for aspect in expected.keys() - found.keys()),
        *(f"{aspect} is not of the migrations" for aspect in found.keys() - expected.keys()),
        *(
            f"{aspect} was changed"
            for aspect in expected.keys() & found.keys()
            if expected[aspect] != found[aspect]
        ),
    ]
