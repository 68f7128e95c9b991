"""The remaining steps of each statement of an online migration, as the catalog shows, and the act of each."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg2.extensions
from psycopg2 import sql

from vault_etl.base.errors import ConfigurationError, DataError
from vault_etl.platform.clock import Progress
from vault_etl.platform.postgres_bound import rows_of
from vault_etl.platform.postgres_statement_errors import ValueRefusedError
from vault_etl.platform.resources import blocks
from vault_etl.schema.online import Constraint, Fill, Index, MigrationStep, index_of
from vault_etl.schema.postgres_online_acts import Act, OnlineActs

_SQL: Final = blocks("schema/online.sql")

StepAndAct = tuple[MigrationStep, Act]
_Cursor = psycopg2.extensions.cursor


@dataclass(frozen=True, slots=True)
class TargetTable:
    """A table, or a partition."""

    oid: int
    schema: str
    name: str
    is_partitioned: bool
    bytes: int

    @property
    def identifier(self) -> sql.Identifier:
        """The name, with the schema."""
        return sql.Identifier(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class FillPosition:
    """The position of a fill: a statement of the file, a table, and the last key. All rows before it are filled."""

    statement: int = 0
    table: str = ""
    key: str | None = None

    @classmethod
    def read(cls, text: str | None) -> FillPosition:
        """Read a written position; None means that no row is filled."""
        return cls(*json.loads(text)) if text else cls()

    def write(self, cursor: _Cursor, name: str) -> None:
        """Store the position for the next run, in the transaction that fills up to it."""
        place = json.dumps(dataclasses.astuple(self))
        cursor.execute(_SQL["fill_to"], {"name": name, "filled_to": place})


def index_steps(
    acts: OnlineActs, cursor: _Cursor, index: Index, tables: Sequence[TargetTable]
) -> Iterator[StepAndAct]:
    """Create the index ON ONLY the table, for coming months; CONCURRENTLY on each partition; then attach these."""
    whole, *parts = tables
    cursor.execute(_SQL["indexes"], {"tables": [table.oid for table in tables]})
    found = {(oid, name): rest for oid, name, *rest in cursor.fetchall()}
    is_valid, shape, _ = found.get((whole.oid, index.name), (None, None, None))
    if not whole.is_partitioned:
        if not is_valid:
            yield _built(acts, index, whole, index.name, is_new=is_valid is None)
        return
    if is_valid is None:
        text = f"CREATE INDEX {index.name} ON ONLY {{}} {_verbatim(index.rest)}"
        make = sql.SQL(text).format(whole.identifier)
        yield _step(index, whole, "make, for months to come"), acts.briefly(make)
    attached = {oid: name for (oid, name), (*_, of) in found.items() if of == index.name}
    for part in (part for part in parts if part.oid not in attached):
        name = index_of(index, part.name)
        part_is_valid, part_shape, _ = found.get((part.oid, name), (None, None, None))
        if not part_is_valid:
            yield _built(acts, index, part, name, is_new=part_is_valid is None)
        elif shape in (None, part_shape):
            yield _attached(acts, index, part, name)
        else:
            message = f"in the way of the migration: index {name}, of another definition"
            raise ConfigurationError(message, hint="rename or drop it, and run it again")
    if is_valid is False and parts and len(attached) == len(parts):
        # The last partition without the index was detached. Attaching an index again makes the whole index valid.
        yield _attached(acts, index, parts[0], attached[parts[0].oid])


def _built(
    acts: OnlineActs, index: Index, table: TargetTable, name: str, *, is_new: bool
) -> StepAndAct:
    """Build the index, or drop an invalid one first. Both wait without a limit, because they block no loader."""
    if is_new:
        text = f"CREATE INDEX CONCURRENTLY {{}} ON {{}} {_verbatim(index.rest)}"
        build = sql.SQL(text).format(sql.Identifier(name), table.identifier)
        return _step(index, table, "build"), acts.at_length(build)
    drop = sql.SQL("DROP INDEX CONCURRENTLY {}").format(sql.Identifier(table.schema, name))
    return _step(index, table, "drop an invalid one and build it again"), acts.at_length(drop)


def _attached(acts: OnlineActs, index: Index, part: TargetTable, name: str) -> StepAndAct:
    attach = sql.SQL("ALTER INDEX {} ATTACH PARTITION {}").format(
        sql.Identifier("vault_etl", index.name), sql.Identifier(part.schema, name)
    )
    return _step(index, part, "attach"), acts.briefly(attach)


def constraint_steps(
    acts: OnlineActs, cursor: _Cursor, constraint: Constraint, tables: Sequence[TargetTable]
) -> Iterator[StepAndAct]:
    """Add the constraint NOT VALID, for new rows; then validate it, which reads a partition and blocks no writer."""
    whole, *parts = tables
    oids = [table.oid for table in tables]
    cursor.execute(_SQL["constraints"], {"name": constraint.name, "tables": oids})
    is_valid = dict(cursor.fetchall())
    name = sql.Identifier(constraint.name)
    if whole.oid not in is_valid:
        text = f"ALTER TABLE {{}} ADD CONSTRAINT {{}} {_verbatim(constraint.check)} NOT VALID"
        add = sql.SQL(text).format(whole.identifier, name)
        yield _step(constraint, whole, "add, for new rows"), acts.briefly(add)
    for table in (*parts, whole):
        if not is_valid.get(table.oid):
            text = "ALTER TABLE {} VALIDATE CONSTRAINT {}"
            act = acts.at_length(sql.SQL(text).format(table.identifier, name), lock_timeout_s=1)
            yield _step(constraint, table, "validate"), _explained(constraint, table, act)


def _explained(constraint: Constraint, table: TargetTable, act: Act) -> Act:
    def explained(rows: int, progress: Progress) -> int:
        try:
            return act(rows, progress)
        except ValueRefusedError:
            message = f"rows of {table.name} are not as constraint {constraint.name} says"
            raise DataError(message, hint=f"they are those WHERE NOT {constraint.check}") from None

    return explained


def fill_steps(
    acts: OnlineActs,
    cursor: _Cursor,
    migration: str,
    number: int,
    fill: Fill,
    tables: Sequence[TargetTable],
) -> Iterator[StepAndAct]:
    """Fill pages in the order of the primary key, each with the position up to which rows are filled."""
    cursor.execute(_SQL["filled_to"], {"name": migration})
    place = FillPosition.read(next((text for (text,) in cursor.fetchall()), None))
    if place.statement > number:
        return
    if place.statement < number:
        place = FillPosition(number)
    cursor.execute(_SQL["primary_key"], {"table": fill.table})
    if len(keys := cursor.fetchall()) != 1:
        message = f"{fill.table} has no primary key of one column"
        raise ConfigurationError(message, hint="its rows cannot be filled online")
    parts = [part for part in tables[1:] or tables if part.name >= place.table]
    for part, following in zip(parts, (*parts[1:], None), strict=True):
        begin = place if part.name == place.table else FillPosition(number, part.name)
        end = FillPosition(number, following.name) if following else FillPosition(number + 1)
        page = _Page(migration, fill, keys[0][0], part, begin, end)
        yield MigrationStep(f"rows of {fill.table}", part.name, "fill", part.bytes), page.act(acts)


@dataclass(frozen=True, slots=True)
class _Page:
    """A page of rows of a partition behind a position, and the position after the last row."""

    migration: str
    fill: Fill
    key: str
    part: TargetTable
    begin: FillPosition
    end: FillPosition

    def act(self, acts: OnlineActs) -> Act:
        def act(rows: int, _progress: Progress) -> int:
            with acts.brief() as cursor:
                values = {"after": self.begin.key, "rows": rows}
                ((first, last),) = rows_of(cursor, self._select(cursor), values)
                if last is None:
                    self.end.write(cursor, self.migration)
                    return 0
                values = {"first": first, "last": last}
                ((changed,),) = rows_of(cursor, self._change(cursor), values)
                dataclasses.replace(self.begin, key=last).write(cursor, self.migration)
            return int(changed)

        return act

    def _select(self, cursor: _Cursor) -> str:
        text = (
            "SELECT page[1]::text, page[cardinality(page)]::text FROM (SELECT ARRAY("
            "SELECT {key} FROM {part} WHERE {after} ORDER BY {key} LIMIT %(rows)s)) AS a (page)"
        )
        key, part = sql.Identifier(self.key), self.part.identifier
        is_first = self.begin.key is None
        after = sql.SQL("true" if is_first else "{} > %(after)s").format(key)
        return sql.SQL(text).format(key=key, part=part, after=after).as_string(cursor)

    def _change(self, cursor: _Cursor) -> str:
        """The UPDATE of the file on the whole table, so that its triggers run; the keys limit it to the partition."""
        text = (
            "WITH changed AS (UPDATE vault_etl.{table} SET {changes} WHERE ({left})"
            " AND {key} >= %(first)s AND {key} <= %(last)s RETURNING 1) SELECT count(*) FROM changed"
        )
        parts = {
            name: sql.SQL(getattr(self.fill, name).replace("%", "%%"))
            for name in ("changes", "left")
        }
        table, key = sql.Identifier(self.fill.table), sql.Identifier(self.key)
        return sql.SQL(text).format(table=table, key=key, **parts).as_string(cursor)


def _step(statement: Index | Constraint, table: TargetTable, action: str) -> MigrationStep:
    kind = type(statement).__name__.lower()
    return MigrationStep(f"{kind} {statement.name}", table.name, action, table.bytes)


def _verbatim(text: str) -> str:
    """Escape a part of the file for a template of `sql.SQL`."""
    return text.replace("{", "{{").replace("}", "}}")
