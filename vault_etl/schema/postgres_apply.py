"""A declaration is put in force on Postgres: tables, functions, views and rights in one transaction behind the fence.

Indexes of new columns are made after it, and constraints validated, as an online migration (`postgres_online.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg2.extensions

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.postgres_owner import as_owner
from vault_etl.base.errors import ConfigurationError, DataError, IncompleteError
from vault_etl.declaration.changes import DeclarationChange, Effect, lets_old_workers_write
from vault_etl.declaration.document import digest_of, document_of
from vault_etl.declaration.history import as_stored, changes_since
from vault_etl.declaration.model import Declaration
from vault_etl.keys.postgres import close_fence
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_lock_watch import LockWatch
from vault_etl.platform.postgres_statement_errors import LockTimeoutError
from vault_etl.platform.resources import blocks
from vault_etl.platform.waiting import Blocked
from vault_etl.schema.online import Constraint, Statement
from vault_etl.schema.postgres_remake import remake
from vault_etl.schema.postgres_versions import all_versions
from vault_etl.schema.rendering import Rendering

_SQL: Final = blocks("schema/apply.sql")
_VERSIONS: Final = blocks("schema/versions.sql")
_MIGRATIONS: Final = blocks("schema/migrations.sql")

ONLINE: Final = "schema apply"


@dataclass(frozen=True, slots=True)
class ApplyPlan:
    """All declarations so far, the new one, and what it changes. `is_in_force`: nothing, it was applied already."""

    history: Sequence[Declaration]
    new: Declaration
    changes: Sequence[DeclarationChange]

    @property
    def is_in_force(self) -> bool:
        """True if the newest version has the digest of this one."""
        return digest_of(self.history[-1]) == digest_of(self.new)

    @property
    def refused(self) -> Sequence[DeclarationChange]:
        """The changes that are refused."""
        return [change for change in self.changes if change.effect is Effect.REFUSED]

    @property
    def version(self) -> int:
        """The number of the version that is in force afterwards."""
        return len(self.history) + (not self.is_in_force)

    @property
    def admits_old_workers(self) -> bool:
        """True if loaders with the declaration before may go on until they are restarted."""
        return lets_old_workers_write(self.changes)


@dataclass(frozen=True, slots=True)
class OnlineWork:
    """Indexes and constraints that a declaration needs. The catalog says which of them are done."""

    found: Sequence[Statement]
    name: str = ONLINE
    checksum: str = ""

    def statements(self) -> Sequence[Statement]:
        """Return the statements."""
        return self.found


class PostgresApply:
    """Puts a declaration in force, for a login that may act as the owner."""

    def __init__(self, database: Database, folder: Path, locks: LockWatch) -> None:
        self._database = database
        self._folder = folder
        self._locks = locks

    def plan(self, new: Declaration) -> ApplyPlan:
        """Compare a declaration with all that were in force.

        Raises DeniedError for a login that is not the owner's, and ConfigurationError for migrations that are
        pending, or of another version of vault-etl.
        """
        with as_owner(self._database, "schema") as cursor:
            self._must_be_migrated(cursor)
            history = all_versions(cursor)
        return ApplyPlan(history, new, changes_since(history, new))

    def _must_be_migrated(self, cursor: psycopg2.extensions.cursor) -> None:
        """Functions are made as the files of this version have them, so all of these must have been run."""
        cursor.execute(_MIGRATIONS["applied"])
        done = {name for name, _, is_done in cursor.fetchall() if is_done}
        if other := sorted(done ^ {path.stem for path in self._folder.glob("[0-9]*.sql")}):
            message = f"migrations are pending, or of another version: {', '.join(other)}"
            hint = "run `vault-etl migrate` first, with the declaration in force"
            raise ConfigurationError(message, hint=hint)

    def try_apply(self, request: AuditRequest, plan: ApplyPlan) -> int | Blocked:
        """Change the tables and record the version, in one transaction; return the number of the version.

        A lock is waited for one second, because others wait behind it. Raises IncompleteError if another process has
        applied a declaration since the plan was made.
        """
        try:
            return self._apply(request, plan)
        except LockTimeoutError:
            return Blocked(self._locks.blockers)

    def _apply(self, request: AuditRequest, plan: ApplyPlan) -> int:
        if plan.refused:
            raise DataError(f"{plan.refused[0].where}: {plan.refused[0]}")
        old = Rendering.of(self._folder, as_stored(plan.history))
        new = Rendering.of(self._folder, as_stored([*plan.history, plan.new]))
        with self._database.transaction("schema", long=True) as cursor:
            cursor.execute(_MIGRATIONS["pid"])
            ((pid,),) = cursor.fetchall()
            with self._locks.of(pid):
                cursor.execute(_MIGRATIONS["lock"])
                cursor.execute(_MIGRATIONS["act_as_owner"])
                close_fence(cursor)
                cursor.execute(_MIGRATIONS["limit_waits"])
                if len(all_versions(cursor)) != len(plan.history):
                    message = "another process has applied a declaration meanwhile"
                    raise IncompleteError(message, hint="run the command again")
                _add_to_rotations(cursor, plan)
                remake(cursor, old, new, plan.new, self._database.names)
                return _record(cursor, request, plan)

    def online_work(self, declaration: Declaration) -> OnlineWork:
        """Return the indexes of the declaration, and the constraints that are not validated yet."""
        rendering = Rendering.of(self._folder, declaration)
        events = {event.name for event in declaration.events}
        indexes = [index for index in rendering.indexes if index.table in events]
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["not_validated"])
            constraints = [Constraint(*row) for row in cursor.fetchall()]
        return OnlineWork([*indexes, *constraints])


def _add_to_rotations(cursor: psycopg2.extensions.cursor, plan: ApplyPlan) -> None:
    """Let a rotation of the token keys that is under way be of all fields, as it must be."""
    fields = sorted(plan.new.field_names)
    if fields != sorted(plan.history[-1].field_names):
        cursor.execute(_SQL["free_rotations"])
        cursor.execute(_SQL["rotations_of_all_fields"], {"fields": fields})


def _record(cursor: psycopg2.extensions.cursor, request: AuditRequest, plan: ApplyPlan) -> int:
    cursor.execute(
        _VERSIONS["add"],
        {
            "request_id": request.request_id,
            "actor": request.actor,
            "host": request.host,
            "reason": request.reason,
            "document": document_of(plan.new).decode(),
            "is_admitting": plan.admits_old_workers,
        },
    )
    ((version, _),) = cursor.fetchall()
    return int(version)
