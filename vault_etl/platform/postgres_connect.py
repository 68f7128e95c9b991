"""Connections to Postgres: their options, the error of a failed connection, and a limit on silence.

A URL may hold a password, and libpq may quote it when the URL is malformed. So no text of libpq or of the
server leaves this file: names of options, the host, the port and an SQLSTATE do.
"""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import psycopg2
import psycopg2.extensions

from vault_etl.base.errors import ConfigurationError, DeniedError, VaultEtlError
from vault_etl.platform.postgres_bound import libpq
from vault_etl.platform.postgres_connection_failures import failure_of, is_of_a_server

URL_SETTING: Final = "VAULT_ETL_DATABASE_URL"
PASSWORD_SETTING: Final = "VAULT_ETL_DATABASE_PASSWORD"  # noqa: S105 - a setting's name

Password = Callable[[Mapping[str, str]], Mapping[str, str]]
"""A function from the options of a connection to the options to add or replace, with the password."""

CONNECT_TIMEOUT_S: Final = 10
TCP_USER_TIMEOUT_MS: Final = 15_000

_DEFAULTS: Final = {
    "connect_timeout": CONNECT_TIMEOUT_S,
    "tcp_user_timeout": TCP_USER_TIMEOUT_MS,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
}

# COPY sends UTF-8. PGCLIENTENCODING could make the server read another encoding.
_FIXED: Final = {"client_encoding": "UTF8"}

_OF_ENVIRONMENT: Final = ("host", "port", "user", "sslmode")
"""The options that a token depends on."""

_URL_HINT: Final = (
    "a URL is postgresql://login:password@host:port/database; in a password, write each character that is not a"
    " letter or a digit in percent form, as %40 for @"
)
_OWN_MARKS: Final = re.compile(r"[^?]*@[^?]*@|[^?@]*/[^?]*@")
"""The rest of a URL with a second @, or an @ after a /: libpq would take a part of the password for the host."""

_SQLSTATE_ALONE: Final = 3
"""libpq's PQERRORS_SQLSTATE."""
_CONNECTED: Final = 0
_STARTING: Final = "57P03"
_STATE: Final = re.compile(r":  ([0-9A-Z]{5})\n?\Z")


class NotConnectedError(psycopg2.OperationalError):
    """A failed connection. `error` is our error, and `state` the SQLSTATE of the server, if any."""

    def __init__(self, error: VaultEtlError, state: str | None, option: str) -> None:
        super().__init__(str(error))
        self.error = error
        self.state = state
        self.is_of_password = option == "password" and isinstance(error, DeniedError)


class Target:
    """The options of connections. `password` is called for each connection.

    The server shows `name`, or the application_name of the URL, beside each session. `setting` is the
    setting with the URL. Raises ConfigurationError for a malformed URL, and for a URL with a password if
    `password` is given too.
    """

    def __init__(
        self,
        url: str,
        password: Password | None = None,
        name: str = "vault-etl",
        setting: str = URL_SETTING,
    ) -> None:
        self._of = setting
        self._given = _parse(url, setting)
        self._name = name
        self._password = password
        if password is not None and "password" in self._given:
            message = (
                f"{setting} holds a password, and {PASSWORD_SETTING} says where another one is"
            )
            raise ConfigurationError(message, hint="take it out of the URL, or unset the other")

    def connect(self) -> psycopg2.extensions.connection:
        """Make a connection. Raises NotConnectedError, and the errors of the source of the password.

        A refused password may have changed in the meantime: it is read once more.
        """
        try:
            return self._connect()
        except NotConnectedError as error:
            if self._password is None or not error.is_of_password:
                raise
        return self._connect()

    def _connect(self) -> psycopg2.extensions.connection:
        options = {**_DEFAULTS, "application_name": self._name, **self._given, **_FIXED}
        if self._password is not None:
            options |= self._password(self._seen())
        return _Connection(psycopg2.extensions.make_dsn(**options), self._setting)

    def _seen(self) -> dict[str, str]:
        """Return the given options: of the URL, or else of the variables of libpq."""
        named = {name: os.environ.get(f"PG{name.upper()}", "") for name in _OF_ENVIRONMENT}
        return {**named, **self._given}

    def _setting(self, option: str) -> str:
        """Name the source of an option: the URL, else the service, else a variable of libpq."""
        if option == "password" and self._password is not None:
            return PASSWORD_SETTING
        if option in self._given:
            return self._of
        if option != "service" and ("service" in self._given or "PGSERVICE" in os.environ):
            return "the service file"
        variable = "PGDATABASE" if option == "dbname" else f"PG{option.upper()}"
        return variable if variable in os.environ else self._of


class _Connection(psycopg2.extensions.connection):
    """A connection that raises NotConnectedError. `setting` names the source of an option."""

    def __init__(self, dsn: str, setting: Callable[[str], str]) -> None:
        try:
            super().__init__(dsn)
        except psycopg2.OperationalError as error:
            text = str(error)
            state = self._state_of_next_try() if is_of_a_server(text) else None
            server = self._server()
            self.close()
            failure, option = failure_of(text, state)
            told = failure.error(state, server=server, option=option, setting=setting(option))
            raise NotConnectedError(told, state, option) from None

    def _state_of_next_try(self) -> str:
        """Try again, and return the SQLSTATE of the refusal; "" if there is none.

        libpq keeps only the text of a failed connection, in the language of the server. It can be told to
        keep the SQLSTATE of the next try instead.
        """
        if (library := libpq()) is None:
            return ""
        library.PQsetErrorVerbosity(self.pgconn_ptr, _SQLSTATE_ALONE)
        library.PQreset(self.pgconn_ptr)
        if self.info.status == _CONNECTED:
            return _STARTING
        found = _STATE.search(self.info.error_message or "")
        return found[1] if found else ""

    def _server(self) -> str:
        """Return HOST:PORT, or the path of a socket."""
        try:
            host, port = self.info.host or "localhost", self.info.port
        except ValueError:  # the port is not a number
            return "an unknown port"
        if host.startswith("/"):
            return f"{host}/.s.PGSQL.{port}"
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse(url: str, setting: str) -> dict[str, Any]:
    """Return the options of the URL. A secret that is mounted as a file often ends with a newline."""
    scheme, _, rest = url.strip().partition("://")
    malformed = ConfigurationError(f"{setting} is malformed", hint=_URL_HINT)
    if scheme in {"postgresql", "postgres"} and _OWN_MARKS.match(rest):
        raise malformed
    try:
        given = psycopg2.extensions.parse_dsn(url.strip())
    except psycopg2.Error:
        raise malformed from None
    return {option: value.strip("\r\n") for option, value in given.items()}


class Silence:
    """A limit of `seconds` on a silent server (None: no limit): the connection is cut then."""

    def __init__(self, seconds: float | None) -> None:
        self.was_too_long = False
        self._seconds = seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def watch(self, connection: psycopg2.extensions.connection) -> None:
        """Watch the connection until the end of the block."""
        if self._seconds is None:
            return
        # A descriptor of our own: libpq may close its own, and another socket may get its number.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._timer = threading.Timer(self._seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def _cut(self) -> None:
        with self._lock:
            if self._socket is not None:
                self.was_too_long = True
                with suppress(OSError):  # the connection is lost already
                    self._socket.shutdown(socket.SHUT_RDWR)
