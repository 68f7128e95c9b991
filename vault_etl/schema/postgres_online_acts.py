"""The two ways to do a step of an online migration: briefly in a transaction, or for long outside of one."""

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
"""Does a step; from the most rows that it may change to those that it changed."""


class OnlineActs:
    """A session as the owner, and a second connection, on which it is looked how far the first one is.

    `locks` sees who is in the way of an act that waits for its locks for so long and no longer.
    """

    def __init__(self, database: Database, watching: Database, locks: LockWatch) -> None:
        self.database = database
        self.at = ""
        """The step, in words."""
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
        """A transaction that waits a second for its locks: who needs the table waits behind it."""
        with self.database.transaction(long=True) as cursor, self.locks.of(self._pid):
            cursor.execute(_MIGRATIONS["limit_waits"])
            yield cursor

    def briefly(self, statement: sql.Composable) -> Act:
        """In such a transaction."""

        def act(_rows: int, _progress: Progress) -> int:
            with self.brief() as cursor:
                cursor.execute(statement)
            return 0

        return act

    def at_length(self, statement: sql.Composable, *, lock_timeout_s: float = 0) -> Act:
        """Outside of a transaction, for as long as it takes; a signal ends it on the server too."""

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
        """Say how far it is, and who is in its way. If that fails, the work goes on; a signal is no such failure."""
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
