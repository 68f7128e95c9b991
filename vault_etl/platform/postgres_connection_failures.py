"""Failed connections to Postgres: each kind of failure with its error and its hint, in one table.

libpq has phrases of its own for what it finds out. It does not translate them in a process that sets no
locale for messages, and ours sets none. docs/operations/failures.md has the table (docs/generate_failures.py).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from vault_etl.base.errors import ConfigurationError, DeniedError, UnavailableError
from vault_etl.platform.postgres_connection_refusals import REFUSALS, ConnectionFailure


def failure_of(text: str, state: str | None) -> tuple[ConnectionFailure, str]:
    """Return the kind of a failure, and the option at fault.

    `state` is None if no server answered, and "" if the answer has no SQLSTATE. Among several hosts the last
    one counts: libpq tries the next host while one is unavailable, and stops at a refusal.
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
    """Tell whether the text comes from the last host, not from libpq: it begins with a severity then."""
    _, *after_host = _HOST.split(text)
    return bool(after_host) and bool(_SEVERITY.match(after_host[-1]))


_HOST: Final = re.compile(r"connection to server (?:at|on socket) [^\n]*? failed: ")
_SEVERITY: Final = re.compile(r"[^:\n]{1,40}:  ")

_URL: Final = "postgresql://login:password@host:port/database"

FAILURES: Final[Sequence[ConnectionFailure]] = (
    # Faults before a server is asked.
    ConnectionFailure(
        ConfigurationError,
        "{setting} is malformed: service",
        "a service is defined in the file that PGSERVICEFILE names, or in ~/.pg_service.conf",
        (r"definition of service", r"service file", r"service specifications"),
        option="service",
    ),
    ConnectionFailure(
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
    ConnectionFailure(
        ConfigurationError,
        "{setting} names no login, and this user of the system has no name",
        f"a URL is {_URL}",
        (r"local user",),
        option="user",
    ),
    # On the way to a server.
    ConnectionFailure(
        UnavailableError,
        "Postgres cannot be reached: the host name in {setting} does not resolve",
        "is it right, and does DNS answer here?",
        (r"could not translate host name", r"could not parse network address"),
    ),
    ConnectionFailure(
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
    ConnectionFailure(
        ConfigurationError,
        "Postgres at {server} offers no TLS, and {setting} demands it",
        "turn TLS on there (ssl = on): sslmode=disable is for a server on this machine alone",
        (r"server does not support SSL",),
        option="sslmode",
    ),
    ConnectionFailure(
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
    ConnectionFailure(
        ConfigurationError,
        "the certificate of Postgres at {server} is of no CA in sslrootcert, or is not valid now",
        "does sslrootcert ({setting}) hold the CA that signed it, and has it run out?",
        (r"certificate verify failed",),
        option="sslrootcert",
    ),
    ConnectionFailure(
        ConfigurationError,
        "the certificate of Postgres at {server} is of another host name",
        "use a name that is in it as the host in {setting}, or have one made for this name",
        (r"does not match host name", r"host name from server certificate"),
    ),
    ConnectionFailure(
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
    ConnectionFailure(
        DeniedError,
        "Postgres at {server} refuses the TLS of this client",
        "its log says why: does it ask for a client certificate (sslcert in {setting}), or for another version?",
        (r"SSL error: .*\balert\b",),
        option="sslcert",
    ),
    ConnectionFailure(
        UnavailableError,
        "TLS with Postgres at {server} failed, and libpq does not say why",
        "the server's log may: is TLS ended by a proxy, or too old?",
        (
            r"SSL error:",
            r"could not establish SSL",
            r"\bALPN\b",
        ),
    ),
    ConnectionFailure(
        ConfigurationError,
        "the server at {server} is not Postgres",
        "are host and port in {setting} right?",
        (
            r"expected authentication request",
            r"unencrypted data after SSL",
            r"received invalid",
        ),
    ),
    # Authentication and start-up, as libpq sees them.
    ConnectionFailure(
        ConfigurationError,
        "there is no password for Postgres at {server}",
        "put it into {setting}, PGPASSWORD, or the file that PGPASSFILE names",
        (r"no password supplied",),
        option="password",
    ),
    ConnectionFailure(
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
    ConnectionFailure(
        UnavailableError,
        "no server of {server} is of the kind that target_session_attrs asks for",
        "is a failover under way? target_session_attrs is in {setting}",
        (r"session is (?:not )?read-only", r"server is (?:not )?in hot standby"),
        option="target_session_attrs",
    ),
    ConnectionFailure(
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
    *REFUSALS,
)

UNKNOWN: Final = ConnectionFailure(
    UnavailableError,
    "Postgres at {server} gives no connection, for a reason that has no class here",
    "`psql` with the same settings ({setting}) shows it; please report it",
)

UNKNOWN_STATE: Final = ConnectionFailure(
    UnavailableError,
    "Postgres at {server} refuses the connection, for a reason that has no class here",
    "its log says why; please report it",
)
