"""Postgres: one connection, its transactions, and the errors of psycopg2 translated, without a row in them.

`str(psycopg2.Error)` quotes the refused row, and a cast error quotes the value. So no text of the server
leaves this file: an SQLSTATE does.
"""

from __future__ import annotations

import contextlib
import math
import random
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.sql

from vault_etl.base.errors import (
    ConfigurationError,
    of_service,
)
from vault_etl.platform.calls import CallObserver
from vault_etl.platform.names import DEFAULT, Names
from vault_etl.platform.postgres_bound import Cursor, rows_of
from vault_etl.platform.postgres_connect import (
    URL_SETTING,
    NotConnectedError,
    Password,
    Silence,
    Target,
)
from vault_etl.platform.postgres_statement_errors import (
    READ_ONLY,
    SILENT,
    error_of_answer,
    translated,
)

SERVICE: Final = "postgres"


ANSWER_WITHIN_S: Final = 40.0
"""The limit of short transactions, from the first statement to the answer of COMMIT.

The longest such transaction, 10,000 rows and 16 MiB, takes a second, and a wait for a lock 30 s at most.
"""

LIFE_S: Final = 1_800.0
"""The longest life of a connection. The connection ends between two transactions."""

_JITTER: Final = 0.2
"""Workers that start together must not reconnect together."""

_BEGIN: Final = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL search_path = pg_catalog, pg_temp"
"""One message. Without this path an operator in `public` would be taken for the system's, and would run with
the rights of this login. The path ends with the transaction: a pooler gives the next one another session."""

_LIMITS: Final = {
    "lock_timeout": "30s",
    # A suspended client keeps its locks for no longer.
    "idle_in_transaction_session_timeout": "60s",
    # Otherwise a session that works or waits for a lock does not notice that its client is gone.
    "client_connection_check_interval": "5s",
}
"""Limits of a transaction. A limit is set only if the login, the database and the URL leave it at 0."""
_STATEMENT_LIMIT: Final = {"statement_timeout": "10min"}
_CURRENT_LIMITS: Final = "SELECT " + ", ".join(
    f"pg_catalog.current_setting('{name}')" for name in (*_LIMITS, *_STATEMENT_LIMIT)
)
_OF_CALLS: Final = """
    SELECT pg_catalog.set_config(s.name, '5s', false) FROM pg_catalog.pg_settings AS s
    WHERE s.name OPERATOR(pg_catalog.=) 'client_connection_check_interval' AND s.setting OPERATOR(pg_catalog.=) '0'
"""
"""The server reads the interval when a statement begins, so a procedure cannot set it for itself. No path is pinned."""

_OF_A_SESSION: Final = """
    SELECT pg_catalog.set_config('role', %s, false), pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', false),
        ARRAY(
            SELECT pg_catalog.set_config(s.name, '0', false) FROM pg_catalog.pg_settings AS s
            WHERE s.name IN ('statement_timeout', 'transaction_timeout', 'idle_session_timeout')
        ),
        (
            SELECT pg_catalog.set_config(s.name, '5s', false) FROM pg_catalog.pg_settings AS s
            WHERE s.name = 'client_connection_check_interval' AND s.setting = '0'
        )
"""


class Database:
    """A connection that is made on first use, and made again after it was lost.

    No transaction relies on the state that an earlier one left, except temporary tables of one definition.
    So a pooler may give each transaction another session (docs/adr/0031-poolers.md). A connection lives for
    half an hour: after that a changed password is read, a locked login is refused, and the temporary tables
    end, which hold back the freezing of old rows. `password` is called for each connection. `setting` is
    the setting with the URL. The server shows `name` beside the session. `observer` sees each connect, the
    statements of each transaction by the name of the transaction, and each commit. Statements of the code
    name the default schema and roles, and the server gets those of `names`.
    """

    def __init__(
        self,
        url: str,
        observer: CallObserver | None = None,
        password: Password | None = None,
        name: str = "vault-etl",
        setting: str = URL_SETTING,
        names: Names = DEFAULT,
    ) -> None:
        self.names = names
        self._target = Target(url, password, name, setting)
        self._observer = observer
        self._ends_at = 0.0
        self._is_kept = False
        self._begin = self._begin_long = ""
        self._watches_calls = False
        self._connection: psycopg2.extensions.connection | None = None

    @contextlib.contextmanager
    def transaction(
        self, name: str = "transaction", *, within: float | None = None, long: bool = False
    ) -> Iterator[psycopg2.extensions.cursor]:
        """Run one READ COMMITTED transaction: commit at the end, roll back if anything is raised.

        The server ends a statement after ten minutes (not a `long` one, which reads or writes a whole
        table), a wait for a lock after 30 s, and an idle transaction after 60 s.

        Raises UnavailableError, DeniedError, ConfigurationError, ValueRefusedError or LockTimeoutError for
        an error of the server, and UnavailableError if the transaction takes longer than `within` seconds.
        A COMMIT whose answer is lost raises too.
        """
        with self._statements(within) as connection, connection.cursor() as cursor:
            with self._told(name):
                if not self._begin:
                    self._set_limits(cursor)
                cursor.execute(self._begin_long if long else self._begin)
                yield cursor
            with self._told("commit"):
                cursor.execute("COMMIT")

    def call(
        self, sql: str, values: Mapping[str, object], *, within: float | None = None
    ) -> tuple[Any, ...]:
        """CALL a procedure that commits by itself, and return its row. Raises like `transaction`.

        If the answer is lost, the procedure may have committed. The call is outside a transaction, and so
        without the search path: `sql` names the procedure with its schema, and uses no operator.
        """
        with (
            self._statements(within) as connection,
            self._told("call"),
            connection.cursor() as cursor,
        ):
            if not self._watches_calls:
                cursor.execute(_OF_CALLS)
                self._watches_calls = True
            (row,) = rows_of(cursor, sql, values)
        return row

    @contextlib.contextmanager
    def session(self, role: str) -> Iterator[int]:
        """Keep one session, as `role`, for `alone` and `transaction` in the block; return its pid.

        Statements have no time limit. The session and its settings end with the block. A pooler would give
        the session to another program: raises ConfigurationError behind one. If the session is lost, the
        next call raises UnavailableError.
        """
        try:
            with self._statements(None) as connection, connection.cursor() as cursor:
                cursor.execute("SELECT pg_catalog.pg_backend_pid()")
                pid = connection.info.backend_pid
                if cursor.fetchone() != (pid,):
                    raise ConfigurationError(
                        "this command needs a session of its own, and there is a pooler before Postgres",
                        hint="set VAULT_ETL_DATABASE_URL to Postgres itself for this command",
                    )
                self._set_limits(cursor)
                cursor.execute(_OF_A_SESSION, (self.names.put_into(role),))
            self._ends_at, self._is_kept = math.inf, True
            yield pid
        finally:
            self._is_kept = False
            self.close()

    def alone(self, statement: psycopg2.sql.Composable, *, lock_timeout_s: float) -> None:
        """Run a statement that is not allowed in a transaction, in a `session`. Raises like `transaction`.

        A wait for a lock ends after `lock_timeout_s` seconds (0: no limit).
        """
        with (
            self._statements(None) as connection,
            self._told("alone"),
            connection.cursor() as cursor,
        ):
            cursor.execute(
                "SELECT pg_catalog.set_config('lock_timeout', %s, false)",
                (f"{lock_timeout_s * 1000:.0f}ms",),
            )
            cursor.execute(statement)

    def cancel(self) -> None:
        """Cancel the statement that another thread waits for, if any."""
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.cancel()

    @contextlib.contextmanager
    def _statements(self, within: float | None) -> Iterator[psycopg2.extensions.connection]:
        with of_service(SERVICE), Silence(within) as silence:
            try:
                connection = self._connect()
                silence.watch(connection)
                yield connection
            except psycopg2.Error as error:
                self._abandon(error)
                raise (
                    error_of_answer(SILENT) if silence.was_too_long else translated(error)
                ) from None
            except BaseException:
                self._abandon()
                raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg2.extensions.connection:
        if time.monotonic() >= self._ends_at:
            self.close()
        if self._connection is None or self._connection.closed:
            if self._is_kept:
                raise psycopg2.OperationalError
            try:
                with self._told("connect"):
                    self._connection = self._target.connect()
            except NotConnectedError as error:
                raise error.error from None
            self._ends_at = time.monotonic() + life()
            self._connection.cursor_factory = Cursor.of(self.names)
            self._connection.autocommit = True  # psycopg2 adds no BEGIN to ours
            psycopg2.extras.register_uuid(conn_or_curs=self._connection)  # type: ignore[no-untyped-call]
            self._begin = self._begin_long = ""
            self._watches_calls = False
        return self._connection

    def _set_limits(self, cursor: psycopg2.extensions.cursor) -> None:
        """Read which limits are set, once for each connection: `SET TRANSACTION` must precede any query."""
        cursor.execute(_CURRENT_LIMITS)
        (given,) = cursor.fetchall()
        wanted = {**_LIMITS, **_STATEMENT_LIMIT}
        unset = [name for name, value in zip(wanted, given, strict=True) if value == "0"]
        self._begin, self._begin_long = (
            "; ".join([_BEGIN, *(f"SET LOCAL {n} = '{limits[n]}'" for n in unset if n in limits)])
            for limits in (wanted, _LIMITS)
        )

    def _told(self, operation: str) -> contextlib.AbstractContextManager[None]:
        if self._observer is None:
            return contextlib.nullcontext()
        return _timed(self._observer, operation)

    def _abandon(self, error: psycopg2.Error | None = None) -> None:
        """Roll back. A connection that cannot roll back is closed."""
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.info.transaction_status != psycopg2.extensions.TRANSACTION_STATUS_IDLE:
                with connection.cursor() as cursor:
                    cursor.execute("ROLLBACK")
        except psycopg2.Error:
            connection.close()
        # A server that became read-only has failed over: a new connection finds the new primary.
        moved = error is not None and error.pgcode == READ_ONLY
        if isinstance(error, psycopg2.InterfaceError) or connection.closed or moved:
            self.close()


def life() -> float:
    """Return the life of the next connection in seconds: `LIFE_S` less up to a fifth, at random."""
    return LIFE_S * random.uniform(1 - _JITTER, 1)  # noqa: S311 - no secret


@contextlib.contextmanager
def _timed(observer: CallObserver, operation: str) -> Iterator[None]:
    started = time.monotonic()
    try:
        yield
    except psycopg2.Error as error:
        state = error.state if isinstance(error, NotConnectedError) else error.pgcode
        code = state[:2] if state else type(error).__name__
        observer.failed(SERVICE, operation, code)
        raise
    finally:
        observer.called(SERVICE, operation, time.monotonic() - started)
