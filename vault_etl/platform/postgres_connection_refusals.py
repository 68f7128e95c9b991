"""Connections that a server or a pooler refuses: each refusal by its SQLSTATE, with its error and its hint.

The server's text is in the server's language, so its SQLSTATE decides. docs/operations/failures.md has the table
(docs/generate_failures.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import ConfigurationError, DeniedError, UnavailableError, VaultEtlError

POOLER: Final = "08P01"
"""The SQLSTATE of nearly all errors of PgBouncer. Its text tells more, and has one language."""


@dataclass(frozen=True, slots=True)
class ConnectionFailure:
    """One kind of failure. `{server}` is host and port, `{setting}` the place where `option` is set or could be."""

    kind: type[VaultEtlError]
    message: str
    hint: str
    phrases: tuple[str, ...] = ()
    """Regular expressions for the text of libpq, or of the pooler if there are states too."""
    states: tuple[str, ...] = ()
    """SQLSTATEs, or classes of two characters. A failure that libpq detects has no SQLSTATE."""
    option: str = "host"
    """libpq's name of the connection option at fault, unless the first group of the phrase names one."""

    def error(self, state: str | None, **values: str) -> VaultEtlError:
        """Return the error, with `server`, `setting` and `option` filled in."""
        message = self.message.format(**values) + (f" (SQLSTATE {state})" if state else "")
        return self.kind(message, hint=self.hint.format(**values))


REFUSALS: Final[Sequence[ConnectionFailure]] = (
    ConnectionFailure(
        DeniedError,
        "Postgres at {server} refuses this login: the password is wrong, or there is no such login",
        "check login and password in {setting}, and the name in its client certificate (sslcert), if it has one",
        states=("28P01",),
        option="password",
    ),
    ConnectionFailure(
        DeniedError,
        "Postgres at {server} refuses this login: it may not log in, or not from here",
        "may the login in {setting} log in, and does pg_hba.conf there let it in from this address, with or"
        " without TLS? Does it demand a client certificate (sslcert) in the login's name?",
        states=("28",),
        option="user",
    ),
    ConnectionFailure(
        ConfigurationError,
        "Postgres at {server} has no such database",
        "check the database in {setting}",
        states=("3D000",),
        option="dbname",
    ),
    ConnectionFailure(
        DeniedError,
        "this login may not connect to the database, or not with its options, at {server}",
        "grant it CONNECT; options that need more rights are set in {setting}",
        states=("42501",),
        option="options",
    ),
    ConnectionFailure(
        ConfigurationError,
        "Postgres at {server} does not take the options of this connection",
        "correct what {setting} sets",
        states=("22", "42", "55P02"),
        option="options",
    ),
    ConnectionFailure(
        UnavailableError,
        "Postgres at {server} has no connection left",
        "raise max_connections there, or the limit of the login or the database; or run fewer workers",
        states=("53300",),
    ),
    ConnectionFailure(
        DeniedError,
        "the pooler at {server} refuses this login",
        "check login and password in {setting}, and the pooler's list of users; its log says more",
        (
            r"no such user",
            r"authentication failed",
            r"login rejected",
            r"no username",
            r"not allowed",
        ),
        (POOLER,),
        option="password",
    ),
    ConnectionFailure(
        ConfigurationError,
        "the pooler at {server} has no such database",
        "check the database in {setting}",
        (r"no such database",),
        (POOLER,),
        option="dbname",
    ),
    ConnectionFailure(
        ConfigurationError,
        "the pooler at {server} does not take the options of this connection",
        "take them out of {setting}, or name them in its ignore_startup_parameters",
        (r"unsupported startup parameter",),
        (POOLER,),
        option="options",
    ),
    ConnectionFailure(
        ConfigurationError,
        "the pooler at {server} demands TLS",
        "set sslmode=verify-full in {setting}",
        (r"(?:SSL|TLS) required",),
        (POOLER,),
        option="sslmode",
    ),
    ConnectionFailure(
        UnavailableError,
        "the pooler at {server} has no connection to give, or no connection to its server",
        "its log says why: no more clients, no more connections, or Postgres behind it is away",
        states=(POOLER,),
    ),
    ConnectionFailure(
        UnavailableError,
        "Postgres at {server} takes no connections now",
        "is it starting, stopping, in recovery, or out of memory or disk? its log says which",
        states=("08", "53", "55", "57", "58"),
    ),
)
