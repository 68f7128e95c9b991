"""Compare the schema of a database with the schema that the migrations make, and name every difference.

`migrations/schema.json` holds the facts of a database that was migrated with the default names and never used. It is
written by `docs/generate_schema.py` (CONTRIBUTING.md), and a test fails if it is not current.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import psycopg2.extensions

from vault_etl.base.errors import ConfigurationError
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.resources import blocks
from vault_etl.schema.online import Fill, Index, Statement, index_of

FILE: Final = "schema.json"

Facts = Mapping[str, Mapping[str, str]]
"""Values by object and aspect."""

_SQL: Final = blocks("schema/schema.sql")
_AROUND: Final = blocks("schema/schema_around.sql")
_PARTITION: Final = "partition of "
_FIXED: Final = "table audit_actions"
"""The table whose rows are compared too."""
_ROW: Final = "row of "


class PostgresSchema:
    """The schema of one database, compared with the migrations in `folder`."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._file = folder / FILE

    def differences(self, left: Iterable[Statement] = ()) -> Sequence[str]:
        """Name objects and aspects that are missing, changed, or not of the migrations; never a value.

        Objects of the online statements in `left` may exist, in part or not at all.

        Raises ConfigurationError if the file of the facts is missing.
        """
        if not self._file.exists():
            message = f"this installation of vault-etl has no {FILE} beside its migrations"
            raise ConfigurationError(message, hint="reinstall the package")
        text = self._file.read_text(encoding="utf-8")
        expected = json.loads(self._database.names.put_into(text))
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            found, alike = _catalog(cursor)
            bare = {k: v for k, v in expected[_FIXED].items() if not k.startswith(_ROW)}
            if found.get(_FIXED) == bare:
                found[_FIXED] |= _rows(cursor)
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
        """All facts of this database, as the file has them: all partitions are one kind of object."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            found, alike = _catalog(cursor)
            found[_FIXED] |= _rows(cursor)
        return {alike[name]: aspects for name, aspects in found.items()}


def _catalog(
    cursor: psycopg2.extensions.cursor,
) -> tuple[dict[str, dict[str, str]], dict[str, str]]:
    """The aspects of each object, and for each object the one whose aspects it must have."""
    cursor.execute(_SQL["facts"])
    rows = cursor.fetchall()
    cursor.execute(_AROUND["facts"])
    rows += [(name, name, aspect, value) for name, aspect, value in cursor.fetchall()]
    found: dict[str, dict[str, str]] = {}
    alike: dict[str, str] = {}
    for name, like, aspect, value in rows:
        found.setdefault(name, {})[aspect] = value
        alike[name] = like
    return found, alike


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


def _rows(cursor: psycopg2.extensions.cursor) -> dict[str, str]:
    cursor.execute(_SQL["rows"])
    return dict(cursor.fetchall())


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
