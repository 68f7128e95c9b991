"""An online migration on Postgres (docs/adr/0038-online-migrations.md).

A run has a session of its own, as the owner, with an advisory lock that ends with the session. So a second run waits,
also for the server process of a run that was killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Final, Protocol

from vault_etl.base.errors import (
    ConfigurationError,
    DataError,
    IncompleteError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.platform.clock import Clock, Pace, Progress
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_lock_watch import LockWatch, named
from vault_etl.platform.postgres_statement_errors import LockTimeoutError
from vault_etl.platform.resources import blocks
from vault_etl.platform.waiting import Blocked, until_unblocked
from vault_etl.schema.online import Constraint, Fill, Index, MigrationStep, Statement
from vault_etl.schema.postgres_online_acts import OnlineActs
from vault_etl.schema.postgres_online_steps import (
    FillPosition,
    StepAndAct,
    TargetTable,
    constraint_steps,
    fill_steps,
    index_steps,
)

_SQL: Final = blocks("schema/online.sql")
_MIGRATIONS: Final = blocks("schema/migrations.sql")


PAGE_ROWS: Final = 5_000
"""The most rows that one transaction fills."""


class OnlineFile(Protocol):
    """A file of statements, or what has to be done besides one."""

    @property
    def name(self) -> str:
        """The name under which progress is recorded."""

    @property
    def checksum(self) -> str:
        """The SHA-256 of the file, in hex."""

    def statements(self) -> Sequence[Statement]:
        """Return the statements."""


class PostgresOnline:
    """The steps of one migration, each safe to repeat. `watching` is a second connection to the same database."""

    def __init__(
        self, database: Database, watching: Database, locks: LockWatch, migration: OnlineFile
    ) -> None:
        self._acts = OnlineActs(database, watching, locks)
        self._database = database
        self._migration = migration
        self._statements = migration.statements()

    def session(self) -> contextlib.AbstractContextManager[None]:
        """Work as the owner in a session of its own. Raises as `Database.session`."""
        return self._acts.session()

    def try_alone(self) -> Blocked | None:
        """Keep other runs out while the session lives. Returns the sessions of another run, if there is one."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["one_at_a_time"])
            if cursor.fetchone() == (True,):
                return None
            cursor.execute(_SQL["who_is_at_it"])
            return Blocked(tuple(map(named, cursor.fetchall())))

    def begin(self) -> bool:
        """Record in the database that the migration has begun; False if it is done already."""
        name = self._migration.name
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["begin"], {"name": name, "checksum": self._migration.checksum})
            cursor.execute(_SQL["is_done"], {"name": name})
            return cursor.fetchall() == [(False,)]

    def finish(self) -> None:
        """Record that the migration is done."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["finish"], {"name": self._migration.name})

    def left(self) -> Sequence[MigrationStep]:
        """The next step of each table that is not done, in order, as the catalog says; empty: all is done.

        Raises ConfigurationError for a table that does not exist.
        """
        return [step for step, _ in self._next_steps()]

    def attempt(self, step: MigrationStep, rows: int, progress: Progress) -> int | Blocked:
        """Do the first of the steps left, and report progress; return the rows changed, at most `rows`.

        Raises DataError or IncompleteError for rows that break a constraint.
        """
        act = dict(self._next_steps()).get(step)
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
            return 0  # the step was of a partition that has been detached or dropped

    def _fill_again(self, error: DataError) -> None:
        """Raise IncompleteError if a statement fills rows; the next run fills them again."""
        if any(isinstance(statement, Fill) for statement in self._statements):
            with self._acts.brief() as cursor:
                FillPosition().write(cursor, self._migration.name)
            hint = "does a worker of an older version write them? the next run fills rows once more"
            raise IncompleteError(str(error), hint=hint) from None

    def _next_steps(self) -> Sequence[StepAndAct]:
        found: list[StepAndAct] = []
        with self._database.transaction() as cursor:
            for number, statement in enumerate(self._statements):
                cursor.execute(_SQL["tables"], {"table": statement.table})
                if not (tables := [TargetTable(*row) for row in cursor.fetchall()]):
                    message = f"there is no table {statement.table}"
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


def apply_online(
    steps: PostgresOnline, progress: Progress, pace: Pace, clock: Clock, wait: float
) -> None:
    """Do every step. The steps that remain are read before each one, so the next run continues after a killed one.

    An attempt waits one second for a lock that others hold; all attempts together wait `wait` seconds.

    Raises IncompleteError after that, naming who holds it.
    """
    left = steps.left()
    changed = 0
    while left:
        step = left[0]
        progress.advance(0, at=str(step), left=len(left))
        rows = until_unblocked(
            lambda: _attempt(steps, pace, progress),
            f"{step.statement} is done up to {step.table}",
            clock,
            pace.stop,
            progress,
            wait,
        )
        changed += rows
        before, left = left, steps.left()
        done = max(0, len(before) - len(left))
        progress.advance(done, at=str(step), left=len(left), rows=changed)
        pace.wait(rows)


def _attempt(steps: PostgresOnline, pace: Pace, progress: Progress) -> int | Blocked:
    """Attempt the step that is next now: a blocked attempt may have left an invalid index, which is built again."""
    left = steps.left()
    if not left:
        return 0
    return steps.attempt(left[0], pace.page_rows(PAGE_ROWS), progress)
