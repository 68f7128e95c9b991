"""An online migration on Postgres (docs/adr/0038-online-migrations.md).

A run has a session of its own, as the owner, with an advisory lock that ends with it. So a second run waits, also for
the server's end of one that was killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final

from vault_etl.base.errors import (
    ConfigurationError,
    DataError,
    IncompleteError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.platform.clock import Progress
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_answers import LockTimeoutError
from vault_etl.platform.postgres_lock_watch import LockWatch, named
from vault_etl.platform.resources import blocks
from vault_etl.platform.waiting import Blocked
from vault_etl.schema.online import Constraint, Fill, Index
from vault_etl.schema.online_port import Step
from vault_etl.schema.postgres_migrations import Migration
from vault_etl.schema.postgres_online_acts import OnlineActs
from vault_etl.schema.postgres_online_steps import (
    Found,
    Place,
    Table,
    constraint_steps,
    fill_steps,
    index_steps,
)

_SQL: Final = blocks("schema/online.sql")
_MIGRATIONS: Final = blocks("schema/migrations.sql")


class PostgresOnline:
    """`OnlineSteps` of one migration. `watching` is a second connection to the same database."""

    def __init__(
        self, database: Database, watching: Database, locks: LockWatch, migration: Migration
    ) -> None:
        self._acts = OnlineActs(database, watching, locks)
        self._database = database
        self._migration = migration
        self._statements = migration.statements()

    def session(self) -> contextlib.AbstractContextManager[None]:
        """Work as the owner in a session of its own. Raises as `Database.session`."""
        return self._acts.session()

    def try_alone(self) -> Blocked | None:
        """Keep others from doing this while the session lives; who does it, if others do."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["one_at_a_time"])
            if cursor.fetchone() == (True,):
                return None
            cursor.execute(_SQL["who_is_at_it"])
            return Blocked(tuple(map(named, cursor.fetchall())))

    def begin(self) -> bool:
        """Say in the database that it is begun; False if it is done already."""
        name = self._migration.name
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["begin"], {"name": name, "checksum": self._migration.checksum})
            cursor.execute(_SQL["is_done"], {"name": name})
            return cursor.fetchall() == [(False,)]

    def finish(self) -> None:
        """Say that it is done."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["finish"], {"name": self._migration.name})

    def left(self) -> Sequence[Step]:
        """See `OnlineSteps.left`. Raises ConfigurationError for a table that is not there."""
        return [step for step, _ in self._look()]

    def attempt(self, step: Step, rows: int, progress: Progress) -> int | Blocked:
        """See `OnlineSteps.attempt`. Raises DataError or IncompleteError for rows that break a constraint."""
        act = dict(self._look()).get(step)
        if act is None:
            return 0
        self._acts.at = str(step)
        try:
            return act(rows, progress)
        except LockTimeoutError:
            return Blocked(self._acts.locks.blockers)
        except (UnavailableError, IncompleteError):  # or told to end
            raise
        except DataError as error:
            self._fill_again(error)
            raise
        except VaultEtlError:
            if step in self.left():
                raise
            return 0  # of a partition that was detached or dropped meanwhile

    def _fill_again(self, error: DataError) -> None:
        """Raise IncompleteError if there is a statement that fills rows, which the next run does once more."""
        if any(isinstance(statement, Fill) for statement in self._statements):
            with self._acts.brief() as cursor:
                Place().write(cursor, self._migration.name)
            hint = "does a worker of an older version write them? the next run fills rows once more"
            raise IncompleteError(str(error), hint=hint) from None

    def _look(self) -> Sequence[Found]:
        found: list[Found] = []
        with self._database.transaction() as cursor:
            for number, statement in enumerate(self._statements):
                cursor.execute(_SQL["tables"], {"table": f"public.{statement.table}"})
                if not (tables := [Table(*row) for row in cursor.fetchall()]):
                    message = f"there is no table public.{statement.table}"
                    raise ConfigurationError(message, hint=f"see migration {self._migration.name}")
                match statement:
                    case Index():
                        found += index_steps(self._acts, cursor, statement, tables)
                    case Constraint():
                        found += constraint_steps(self._acts, cursor, statement, tables)
                    case Fill():
                        name = self._migration.name
                        found += fill_steps(self._acts, cursor, name, number, statement, tables)
        return found
