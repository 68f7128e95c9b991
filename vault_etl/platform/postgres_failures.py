"""Why there is no connection to Postgres: each kind of failure, its error and its hint, in one table.

What libpq finds out itself has phrases of its own, which it does not translate in a process that has set no
locale for messages, as ours. What the server says is in the server's language, so its SQLSTATE decides.
docs/operations/failures.md has the table (docs/generate_failures.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.base.errors import ConfigurationError, DeniedError, UnavailableError, VaultEtlError

POOLER: Final = "08P01"
"""What PgBouncer says of nearly everything: its text, which has one language, tells more."""


@dataclass(frozen=True, slots=True)
class Failure:
    """One kind. `{server}` is its host and port, `{setting}` where `option` was, or would be, set."""

    kind: type[VaultEtlError]
    message: str
    hint: str
    phrases: tuple[str, ...] = ()
    """Regular expressions for libpq's text, or for the pooler's where there are states too."""
    states: tuple[str, ...] = ()
    """SQLSTATEs, or classes of two characters; none of what libpq finds out."""
    option: str = "host"
    """libpq's name of the connection option that is at fault; else the phrase's first group is."""

    def error(self, state: str | None, **values: str) -> VaultEtlError:
        """The error to raise, with `server`, `setting` and `option` filled in."""
        message = self.message.format(**values) + (f" (SQLSTATE {state})" if state else "")
        return self.kind(message, hint=self.hint.format(**values))


def failure_of(text: str, state: str | None) -> tuple[Failure, str]:
    """The kind of a failure, and the option at fault. `state` is None if no server spoke, "" if it gave none.

    Of several hosts the last one counts: libpq goes on to the next while one is away, and ends with a refusal.
    """
    last = _HOST.split(text)[-1]
    for failure in FAILURES:
        if not (not failure.states if state is None else state.startswith(failure.states)):
            continue
        if not failure.phrases:
            return failure, failure.option
        for phrase in failure.phrases:
            if found := re.search(phrase, last):
                return failure, found[1] if found.lastindex else failure.option
    return (UNKNOWN_STATE if state else UNKNOWN), "host"


def is_of_a_server(text: str) -> bool:
    """Whether the last host has said it, and not libpq: then a severity comes first, in any language."""
    _, *after_host = _HOST.split(text)
    return bool(after_host) and bool(_SEVERITY.match(after_host[-1]))


_HOST: Final = re.compile(r"connection to server (?:at|on socket) [^\n]*? failed: ")
_SEVERITY: Final = re.compile(r"[^:\n]{1,40}:  ")

_URL: Final = "postgresql://login:password@host:port/database"

FAILURES: Final[Sequence[Failure]] = (
    # What is wrong before a server is asked.
    Failure(
        ConfigurationError,
        "{setting} is malformed: service",
        "a service is defined in the file that PGSERVICEFILE names, or in ~/.pg_service.conf",
        (r"definition of service", r"service file", r"service specifications"),
        option="service",
    ),
    Failure(
        ConfigurationError,
        "{setting} is malformed: {option}",
        f"a URL is {_URL}, with options of libpq behind a ?",
        (
            r'for connection option "(\w+)"',
            r'invalid "?(\w+)"? value',
            r"invalid (port) number",
            r"could not match \d+ (port|host)",
            r"weak (sslmode)",
            r"(host) name must be specified",
        ),
        option="an option",
    ),
    Failure(
        ConfigurationError,
        "{setting} names no login, and this user of the system has no name",
        f"a URL is {_URL}",
        (r"local user",),
        option="user",
    ),
    # On the way to a server.
    Failure(
        UnavailableError,
        "Postgres cannot be reached: the host name in {setting} does not resolve",
        "is it right, and does DNS answer here?",
        (r"could not translate host name", r"could not parse network address"),
    ),
    Failure(
        UnavailableError,
        "Postgres cannot be reached at {server}",
        "is it running, are host and port in {setting} right, and does a firewall let you through?",
        (
            r"Connection refused",
            r"No route to host",
            r"is unreachable",
            r"[Tt]imed out",
            r"timeout expired",
            r"No such file or directory\n\tIs the server running",
        ),
    ),
    # TLS.
    Failure(
        ConfigurationError,
        "Postgres at {server} offers no TLS, and {setting} demands it",
        "turn TLS on there (ssl = on): sslmode=disable is for a server on this machine alone",
        (r"server does not support SSL",),
        option="sslmode",
    ),
    Failure(
        ConfigurationError,
        "the root certificate that Postgres at {server} is checked with cannot be read",
        "sslrootcert is the path of a file of CA certificates, or system ({setting} has it, or its default,"
        " ~/.postgresql/root.crt, holds)",
        (
            r"root certificate file .* does not exist",
            r"could not read root certificate",
            r"could not load system root",
            r"to locate root certificate",
        ),
        option="sslrootcert",
    ),
    Failure(
        ConfigurationError,
        "the certificate of Postgres at {server} is of no CA in sslrootcert, or is not valid now",
        "does sslrootcert ({setting}) hold the CA that signed it, and has it run out?",
        (r"certificate verify failed",),
        option="sslrootcert",
    ),
    Failure(
        ConfigurationError,
        "the certificate of Postgres at {server} is of another host name",
        "use a name that is in it as the host in {setting}, or have one made for this name",
        (r"does not match host name", r"host name from server certificate"),
    ),
    Failure(
        ConfigurationError,
        "the client certificate for Postgres at {server} cannot be used",
        "sslcert and sslkey ({setting}) are a pair, and no other user may read the key",
        (
            r"private key file",
            r"certificate file",
            r"certificate present",
            r"could not load private",
        ),
        option="sslcert",
    ),
    Failure(
        DeniedError,
        "Postgres at {server} refuses the TLS of this client",
        "its log says why: does it ask for a client certificate (sslcert in {setting}), or for another version?",
        (r"SSL error: .*\balert\b",),
        option="sslcert",
    ),
    Failure(
        UnavailableError,
        "TLS with Postgres at {server} failed, and libpq does not say why",
        "the server's log may: is TLS ended by a proxy, or too old?",
        (
            r"SSL error:",
            r"could not establish SSL",
            r"\bALPN\b",
        ),
    ),
    Failure(
        ConfigurationError,
        "what listens at {server} is no Postgres",
        "are host and port in {setting} right?",
        (
            r"expected authentication request",
            r"unencrypted data after SSL",
            r"received invalid",
        ),
    ),
    # Authentication and start-up, as far as libpq sees them.
    Failure(
        ConfigurationError,
        "there is no password for Postgres at {server}",
        "put it into {setting}, PGPASSWORD, or the file that PGPASSFILE names",
        (r"no password supplied",),
        option="password",
    ),
    Failure(
        ConfigurationError,
        "Postgres at {server} asks for another authentication than this connection allows",
        "require_auth, channel_binding and sslcertmode (of {setting}) say what is allowed; is it the right server?",
        (
            r"channel binding",
            r"authentication method",
            r"SASL authentication mechanisms",
            r"did not request an SSL certificate",
        ),
        option="require_auth",
    ),
    Failure(
        UnavailableError,
        "no server of {server} is of the kind that target_session_attrs asks for",
        "is a failover under way? target_session_attrs is in {setting}",
        (r"session is (?:not )?read-only", r"server is (?:not )?in hot standby"),
        option="target_session_attrs",
    ),
    Failure(
        UnavailableError,
        "Postgres at {server} ended the connection before it was made",
        "is it restarting or overloaded? its log says why",
        (
            r"closed the connection",
            r"reset by peer",
            r"EOF detected",
            r"[Bb]roken pipe",
            r"could not (?:receive|send)",
        ),
    ),
    # What the server says, by its SQLSTATE.
    Failure(
        DeniedError,
        "Postgres at {server} refuses this login: the password is wrong, or there is no such login",
        "check login and password in {setting}",
        states=("28P01",),
        option="password",
    ),
    Failure(
        DeniedError,
        "Postgres at {server} refuses this login: it may not log in, or not from here",
        "may the login in {setting} log in, and does pg_hba.conf there let it in from this address, with or"
        " without TLS?",
        states=("28",),
        option="user",
    ),
    Failure(
        ConfigurationError,
        "Postgres at {server} has no such database",
        "check the database in {setting}",
        states=("3D000",),
        option="dbname",
    ),
    Failure(
        DeniedError,
        "this login may not connect to the database, or not with its options, at {server}",
        "grant it CONNECT; options that need more rights are set in {setting}",
        states=("42501",),
        option="options",
    ),
    Failure(
        ConfigurationError,
        "Postgres at {server} does not take the options of this connection",
        "correct what {setting} sets",
        states=("22", "42", "55P02"),
        option="options",
    ),
    Failure(
        UnavailableError,
        "Postgres at {server} has no connection left",
        "raise max_connections there, or the limit of the login or the database; or run fewer workers",
        states=("53300",),
    ),
    Failure(
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
    Failure(
        ConfigurationError,
        "the pooler at {server} has no such database",
        "check the database in {setting}",
        (r"no such database",),
        (POOLER,),
        option="dbname",
    ),
    Failure(
        ConfigurationError,
        "the pooler at {server} does not take the options of this connection",
        "take them out of {setting}, or name them in its ignore_startup_parameters",
        (r"unsupported startup parameter",),
        (POOLER,),
        option="options",
    ),
    Failure(
        ConfigurationError,
        "the pooler at {server} demands TLS",
        "set sslmode=verify-full in {setting}",
        (r"(?:SSL|TLS) required",),
        (POOLER,),
        option="sslmode",
    ),
    Failure(
        UnavailableError,
        "the pooler at {server} has no connection to give, or none to its server",
        "its log says why: no more clients, no more connections, or Postgres behind it is away",
        states=(POOLER,),
    ),
    Failure(
        UnavailableError,
        "Postgres at {server} takes no connections now",
        "is it starting, stopping, in recovery, or out of memory or disk? its log says which",
        states=("08", "53", "55", "57", "58"),
    ),
)

UNKNOWN: Final = Failure(
    UnavailableError,
    "Postgres at {server} gives no connection, for a reason that has no class here",
    "`psql` with the same settings ({setting}) shows it; please report it",
)

UNKNOWN_STATE: Final = Failure(
    UnavailableError,
    "Postgres at {server} refuses the connection, for a reason that has no class here",
    "its log says why; please report it",
)
