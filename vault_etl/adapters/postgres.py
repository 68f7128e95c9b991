"""Postgres: one connection, transactions, and psycopg2's errors translated, once and without a row in them.

`str(psycopg2.Error)` quotes the row that was refused, and a cast error quotes the value, so no
text of the server ever leaves this file: an SQLSTATE does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import psycopg2
import psycopg2.extensions
import psycopg2.extras

from vault_etl.errors import (
    ConfigurationError,
    DeniedError,
    UnavailableError,
    VaultEtlError,
)

CONNECT_TIMEOUT_S: Final = 10
TCP_USER_TIMEOUT_MS: Final = 15_000

_DEFAULTS: Final = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "vault-etl",
}

# COPY sends text as UTF-8, and PGCLIENTENCODING would have the server take it for something else.
_FIXED: Final = {"client_encoding": "UTF8"}

_URL_HINT: Final = "check VAULT_ETL_DATABASE_URL: postgresql://login:password@host:port/database"
_MIGRATE_HINT: Final = "run `vault-etl migrate` as the owner; `vault-etl migrate --check` tells"


class ValueRefusedError(VaultEtlError):
    """The database refused a value of a row: SQLSTATE 22xxx, 23502, or 23514 with a constraint."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"the database refused a value (SQLSTATE {sqlstate})")
        self.sqlstate = sqlstate


class LockTimeoutError(UnavailableError):
    """Somebody else held a lock for too long (SQLSTATE 55P03, or 40P01 for a deadlock)."""


class Database:
    """A connection that is made when it is needed, and made again after it was lost."""

    def __init__(self, url: str) -> None:
        self._dsn = _parse(url)
        self._connection: psycopg2.extensions.connection | None = None

    @contextlib.contextmanager
    def transaction(self) -> Iterator[psycopg2.extensions.cursor]:
        """One READ COMMITTED transaction: committed at the end, rolled back if anything is raised.

        Raises UnavailableError, DeniedError, ConfigurationError, ValueRefusedError or
        LockTimeoutError for what the server says. A COMMIT whose answer is lost raises too.
        """
        try:
            connection = self._connect()
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
        except psycopg2.Error as error:
            self._abandon(error)
            raise _translated(error) from None
        except BaseException:
            self._abandon()
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _connect(self) -> psycopg2.extensions.connection:
        if self._connection is None or self._connection.closed:
            try:
                self._connection = psycopg2.connect(**self._dsn)
            except psycopg2.OperationalError as error:
                raise _connection_failure(error) from None
            self._connection.set_session(
                isolation_level=psycopg2.extensions.ISOLATION_LEVEL_READ_COMMITTED
            )
            psycopg2.extras.register_uuid(conn_or_curs=self._connection)  # type: ignore[no-untyped-call]
        return self._connection

    def _abandon(self, error: psycopg2.Error | None = None) -> None:
        """Roll back; a connection that cannot is closed."""
        connection = self._connection
        if connection is None:
            return
        try:
            connection.rollback()
        except psycopg2.Error:
            connection.close()
        if isinstance(error, psycopg2.InterfaceError) or connection.closed:
            self.close()


def _parse(url: str) -> dict[str, Any]:
    """The parts of the URL over our defaults. A malformed one puts its password into psycopg2's text."""
    try:
        return {**_DEFAULTS, **psycopg2.extensions.parse_dsn(url), **_FIXED}
    except psycopg2.Error:
        message = "VAULT_ETL_DATABASE_URL is malformed"
        raise ConfigurationError(message, hint=_URL_HINT) from None


def _connection_failure(error: psycopg2.OperationalError) -> VaultEtlError:
    """Libpq gives no SQLSTATE for a connection that failed, so its text decides, and stays here."""
    text = str(error)
    if "does not exist" in text and "database" in text:
        return ConfigurationError("Postgres has no such database", hint=_URL_HINT)
    if any(fault in text for fault in _MALFORMED):
        return ConfigurationError("VAULT_ETL_DATABASE_URL is malformed", hint=_URL_HINT)
    if any(refusal in text for refusal in _REFUSALS):
        return DeniedError("Postgres refuses this login", hint=_URL_HINT)
    return UnavailableError(
        "Postgres cannot be reached", hint="is it running, and is VAULT_ETL_DATABASE_URL right?"
    )


def _translated(error: psycopg2.Error) -> VaultEtlError:
    state = error.pgcode
    if state is None:
        if isinstance(error, psycopg2.ProgrammingError):
            return VaultEtlError("a value of a type that Postgres is not given")
        return UnavailableError("the connection to Postgres was lost", hint="run the command again")
    named = error.diag.constraint_name is not None
    if state[:2] == "22" or state == "23502" or (state == "23514" and named):
        return ValueRefusedError(state)
    kind, message, hint = _BY_SQLSTATE.get(state) or _BY_CLASS.get(state[:2]) or _BUG
    return kind(f"Postgres: {message} (SQLSTATE {state})", hint=hint)


_MALFORMED: Final = (
    "invalid port number",
    "invalid integer value",
    "invalid sslmode value",
    "invalid connection option",
    "could not match",  # as many ports as hosts
    "definition of service",
    "unrecognized configuration parameter",
)

_REFUSALS: Final = (
    "authentication failed",
    "no pg_hba.conf entry",
    "does not exist",
    "not permitted",
    "permission denied",
    "no password supplied",
)

_Answer = tuple[type[VaultEtlError], str, str | None]

_DENIED: Final[_Answer] = (
    DeniedError,
    "this login may not do that",
    "use a login that has the command's role (docs/design.md)",
)
_LOCKED: Final[_Answer] = (LockTimeoutError, "a lock was not granted in time", None)
_NOT_MIGRATED: Final[_Answer] = (
    ConfigurationError,
    "the database is not up to date",
    _MIGRATE_HINT,
)
_NO_PARTITION: Final[_Answer] = (
    ConfigurationError,
    "a record has no partition to go to",
    _MIGRATE_HINT,
)
_AWAY: Final[_Answer] = (UnavailableError, "not available", "run the command again")
_BUG: Final[_Answer] = (
    VaultEtlError,
    "a statement of ours was refused",
    "please report this line; the server's log may say more",
)

_BY_SQLSTATE: Final[Mapping[str, _Answer]] = {
    "23514": _NO_PARTITION,
    "25006": _AWAY,  # read-only: a standby, or a server that is failing over
    "40001": _AWAY,
    "40P01": _LOCKED,
    "42501": _DENIED,
    "55P03": _LOCKED,
} | dict.fromkeys(("3F000", "42703", "42704", "42883", "42P01"), _NOT_MIGRATED)

_BY_CLASS: Final[Mapping[str, _Answer]] = dict.fromkeys(("08", "53", "57", "58"), _AWAY)
