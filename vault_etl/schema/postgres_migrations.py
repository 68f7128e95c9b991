"""Migrations: plain SQL, forward only, with checksums, all of a run in one transaction behind one lock.

Migrations that run online, where tables are large, are the exception: `postgres_online.py`
(docs/adr/0038-online-migrations.md).

psycopg2 runs a file of many statements, so this module does not parse SQL
(docs/adr/0003-migrations.md says why this is not a library).
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg2.errors
import psycopg2.extensions

from vault_etl.base.errors import ConfigurationError, DeniedError
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.read import read_declaration
from vault_etl.declaration.sql import rendered
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_lock_watch import LockWatch
from vault_etl.platform.postgres_statement_errors import LockTimeoutError
from vault_etl.platform.resources import blocks
from vault_etl.platform.waiting import Blocked
from vault_etl.schema.online import SUFFIX, Statement, parse
from vault_etl.schema.postgres_first_version import must_be_in_force, record_first

_SQL: Final = blocks("schema/migrations.sql")

SMALL_BYTES: Final = 64 * 1024 * 1024
"""Size of the tables of an online migration that `migrate` runs in its transaction: one or two seconds of work."""

_OTHER: Final = (
    "rename them, or choose other names: VAULT_ETL_DATABASE_SCHEMA, VAULT_ETL_ROLE_PREFIX"
    " (docs/how-to/database.md)"
)
_OLDEST: Final = 160000
"""PostgreSQL 16: GRANT … WITH SET, and the privilege that `pg_has_role` calls SET."""


@dataclass(frozen=True, slots=True)
class Migration:
    """A migration file: its name, such as `0001_roles`, its text, and the SHA-256 of its bytes in hex."""

    name: str
    sql: str
    checksum: str

    @classmethod
    def read(cls, path: Path) -> Migration:
        """Read a file."""
        content = path.read_bytes()
        return cls(path.stem, content.decode(), hashlib.sha256(content).hexdigest())

    @property
    def is_online(self) -> bool:
        """True if the migration can run a partition at a time, outside of a transaction."""
        return self.name.endswith(SUFFIX)

    def statements(self) -> Sequence[Statement]:
        """Parse an online migration. Raises ConfigurationError for an unknown form."""
        return parse(self.name, self.sql)


@dataclass(frozen=True, slots=True)
class Applied:
    """The names of the applied migrations, and the online migration before which the run stopped, if any."""

    names: Sequence[str]
    before: Migration | None = None


@dataclass(frozen=True, slots=True)
class Pending:
    """A migration that the database does not have, or has in part."""

    migration: Migration
    is_online: bool
    """True if only `migrate --online` runs the migration: it was begun, or its tables are large."""
    bytes: int
    """Size of the tables of an online migration, without their indexes."""


class PostgresMigrations:
    """Brings a database up to date. Safe to run twice, also at the same time."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        locks: LockWatch | None = None,
        declaration: Declaration | None = None,
    ) -> None:
        """`locks` sees the sessions that block `try_apply`. Without a declaration, the default holds."""
        self._locks = locks
        self._declaration = declaration or read_declaration(None)
        self._database = database
        self._folder = folder
        self._migrations = [Migration.read(path) for path in sorted(folder.glob("[0-9]*.sql"))]

    def pending(self) -> Sequence[Pending]:
        """The migrations that the database does not have yet, in order.

        Raises ConfigurationError if the database has a migration whose file was changed later, or a newer one,
        and if an owner replaced the table of migrations with another object.
        """
        with self._database.transaction() as cursor:
            must_be_in_force(cursor, self._declaration)
            return list(self._judged(cursor))

    def apply(self, *, online: bool = False) -> Applied:
        """Apply the pending migrations, in one transaction, up to the first that must run online.

        With `online`, every online migration must, except in a new database.

        Raises as `pending` does, ConfigurationError for a server that is too old or not UTF-8, and for schemas and
        roles that exist before the first migration and are not of vault-etl.
        """
        with self._database.transaction(long=True) as cursor, self._watched(cursor):
            _begin(cursor)
            is_new = not _has_table(cursor)
            must_be_in_force(cursor, self._declaration)
            judged = list(self._judged(cursor, online=online))
            before = next((n for n, p in enumerate(judged) if p.is_online), len(judged))
            pending = [p.migration for p in judged[:before]]
            if is_new:
                _refuse_what_is_in_the_way(cursor)
                cursor.execute(self._migrations[0].sql)  # the role that owns the table
                _make_table(cursor)
            for migration in pending[is_new:]:
                if migration.is_online:
                    cursor.execute(_SQL["act_as_owner"])
                cursor.execute(rendered(migration.sql, self._declaration))
                cursor.execute(_SQL["act_as_login"])
            for migration in pending:
                cursor.execute(_SQL["act_as_owner"])
                cursor.execute(_SQL["record"], (migration.name, migration.checksum))
                cursor.execute(_SQL["act_as_login"])
            if is_new:
                record_first(cursor, self._declaration)
            left = judged[before].migration if before < len(judged) else None
            return Applied([migration.name for migration in pending], left)

    def try_apply(self, *, online: bool = False) -> Applied | Blocked:
        """Apply the pending migrations, unless a session holds a table that they change for more than a second."""
        try:
            return self.apply(online=online)
        except LockTimeoutError:
            return Blocked(self._locks.blockers if self._locks else ())

    @contextlib.contextmanager
    def _watched(self, cursor: psycopg2.extensions.cursor) -> Iterator[None]:
        if self._locks is None:
            yield
            return
        cursor.execute(_SQL["pid"])
        ((pid,),) = cursor.fetchall()
        with self._locks.of(pid):
            yield

    def make_roles(self) -> None:
        """Run the first migration only: roles, and the rights on the database itself.

        This prepares a database for the restore of a dump, which holds the rest. Raises as `apply` does.
        """
        with self._database.transaction() as cursor, self._watched(cursor):
            _begin(cursor)
            if not _has_table(cursor):
                _refuse_what_is_in_the_way(cursor)
            cursor.execute(self._migrations[0].sql)

    def _judged(
        self, cursor: psycopg2.extensions.cursor, *, online: bool = False
    ) -> Iterator[Pending]:
        pending = list(self._pending(cursor))
        is_new = len(pending) == len(self._migrations)
        for migration, was_begun in pending:
            size = 0
            if migration.is_online:
                tables = {statement.table for statement in migration.statements()}
                cursor.execute(_SQL["table_bytes"], {"tables": sorted(tables)})
                ((size,),) = cursor.fetchall()
            large = was_begun or online or size > SMALL_BYTES
            yield Pending(migration, migration.is_online and large and not is_new, size)

    def _pending(self, cursor: psycopg2.extensions.cursor) -> Iterator[tuple[Migration, bool]]:
        """The migrations that the database does not have, each with True if it was begun."""
        applied = _applied(cursor) if _has_table(cursor) else {}
        known = {migration.name: migration.checksum for migration in self._migrations}
        if newer := sorted(applied.keys() - known.keys()):
            message = f"the database has a migration that this version does not know: {newer[0]}"
            raise ConfigurationError(
                message, hint="use a version of vault-etl that is at least as new"
            )
        for name, (checksum, _) in sorted(applied.items()):
            if known[name] != checksum:
                message = f"migration {name} was changed after it had been applied"
                raise ConfigurationError(message, hint="migrations go forward only: add a new one")
        for migration in self._migrations:
            _, is_done = applied.get(migration.name, ("", False))
            if not is_done:
                yield migration, migration.name in applied


def _applied(cursor: psycopg2.extensions.cursor) -> dict[str, tuple[str, bool]]:
    """The checksum of each begun migration, and True if it is done."""
    cursor.execute(_SQL["hold"])
    cursor.execute(_SQL["is_plain"])
    if cursor.fetchone() != (True,):
        message = "`migrations` is not the table that `migrate` made"
        raise ConfigurationError(
            message, hint="an owner changed it: check its definition before you read it"
        )
    cursor.execute(_SQL["applied"])
    return {name: (checksum, is_done) for name, checksum, is_done in cursor.fetchall()}


def _begin(cursor: psycopg2.extensions.cursor) -> None:
    """Lock out other runs until the end of the transaction, and check the server."""
    cursor.execute(_SQL["lock"])
    cursor.execute(_SQL["limit_waits"])
    _check_server(cursor)


def _refuse_what_is_in_the_way(cursor: psycopg2.extensions.cursor) -> None:
    """Raise ConfigurationError for schemas of our names, and for roles of our names with other rights.

    Raises DeniedError for a login that may not make a schema.
    """
    cursor.execute(_SQL["may_create"])
    if cursor.fetchone() != (True,):
        message = "this login may not make a schema in this database"
        raise DeniedError(message, hint="run `vault-etl migrate` as the owner of the database")
    cursor.execute(_SQL["in_the_way"])
    if found := [name for (name,) in cursor.fetchall()]:
        raise ConfigurationError(f"in the way of the migrations: {'; '.join(found)}", hint=_OTHER)


def _make_table(cursor: psycopg2.extensions.cursor) -> None:
    """Create the schema and the table. Raises ConfigurationError if the schema was made since the check."""
    try:
        cursor.execute(_SQL["make_table"])
    except (psycopg2.errors.DuplicateSchema, psycopg2.errors.UniqueViolation):
        message = "in the way of the migrations: a schema of the vault, which is new"
        raise ConfigurationError(message, hint=_OTHER) from None
    cursor.execute(_SQL["act_as_login"])


def _has_table(cursor: psycopg2.extensions.cursor) -> bool:
    cursor.execute(_SQL["exists"])
    return cursor.fetchone() == (True,)


def _check_server(cursor: psycopg2.extensions.cursor) -> None:
    cursor.execute(_SQL["server"])
    version, encoding = cursor.fetchone() or (0, "")
    if version < _OLDEST:
        message = "vault-etl needs PostgreSQL 16 or newer"
        raise ConfigurationError(message)
    if encoding != "UTF8":
        message = "the database's encoding is not UTF8"
        raise ConfigurationError(
            message, hint="CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        )
