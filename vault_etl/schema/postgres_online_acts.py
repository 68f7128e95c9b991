"""Two ways to do a step of an online migration: in a brief transaction, or for a long time outside of one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Final

import psycopg2.extensions
from psycopg2 import sql

from vault_etl.base.errors import DeniedError, UnavailableError
from vault_etl.platform.clock import Progress
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_lock_watch import LockWatch, named
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("schema/online.sql")
_MIGRATIONS: Final = blocks("schema/migrations.sql")

_OWNER: Final = "vault_etl_owner"
_TELL_S: Final = 1.0

Act = Callable[[int, Progress], int]
"""Does a step: takes the most rows that it may change, and returns the number that it changed."""


class OnlineActs:
    """A session as the owner, and a second connection that reads the progress of the first.

    `locks` sees the sessions that block an act whose wait for locks is limited.
    """

    def __init__(self, database: Database, watching: Database, locks: LockWatch) -> None:
        self.database = database
        self.at = ""
        """The current step, in words."""
        self.locks = locks
        self._watching = watching
        self._pid = 0

    @contextlib.contextmanager
    def session(self) -> Iterator[None]:
        """Keep the session. Raises as `Database.session`."""
        try:
            with self.database.session(_OWNER) as self._pid:
                yield
        finally:
            self._watching.close()
            self.locks.close()

    @contextlib.contextmanager
    def brief(self) -> Iterator[psycopg2.extensions.cursor]:
        """A transaction that waits one second for its locks, because other sessions queue behind the wait."""
        with self.database.transaction(long=True) as cursor, self.locks.of(self._pid):
            cursor.execute(_MIGRATIONS["limit_waits"])
            yield cursor

    def briefly(self, statement: sql.Composable) -> Act:
        """Build an act that runs the statement in a brief transaction."""

        def act(_rows: int, _progress: Progress) -> int:
            with self.brief() as cursor:
                cursor.execute(statement)
            return 0

        return act

    def at_length(self, statement: sql.Composable, *, lock_timeout_s: float = 0) -> Act:
        """Build an act that runs the statement outside of a transaction, without a time limit. A signal cancels it."""

        def act(_rows: int, progress: Progress) -> int:
            limited = self.locks.of(self._pid) if lock_timeout_s else contextlib.nullcontext()
            with limited, ThreadPoolExecutor(1) as pool:
                running = pool.submit(self.database.alone, statement, lock_timeout_s=lock_timeout_s)
                try:
                    while not wait([running], _TELL_S).done:
                        self._tell(progress)
                except BaseException:
                    while not wait([running], _TELL_S / 10).done:
                        self.database.cancel()
                    raise
                running.result()
            return 0

        return act

    def _tell(self, progress: Progress) -> None:
        """Report the progress and the sessions that block it. A failed report does not end the work; a signal does."""
        with (
            contextlib.suppress(UnavailableError, DeniedError),
            self._watching.transaction(within=_TELL_S) as cursor,
        ):
            cursor.execute(_SQL["activity"], {"pid": self._pid})
            ((phase, percent, others),) = cursor.fetchall()
            details = {"at": f"{self.at}, {phase}, {percent or 0} %" if phase else self.at}
            if others:
                by = (named((int(pid), *names)) for pid, *names in others)
                details["waiting_for"] = ", ".join(by)
            progress.advance(0, **details)
