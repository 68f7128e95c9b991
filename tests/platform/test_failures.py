"""Each phrase of libpq and each SQLSTATE of a connection that is not made has its class; nothing is shadowed."""

from __future__ import annotations

import re

import pytest

from vault_etl.platform.postgres_connection_failures import (
    FAILURES,
    UNKNOWN,
    UNKNOWN_STATE,
    failure_of,
    is_of_a_server,
)

AT = 'connection to server at "db.example" (192.0.2.1), port 5432 failed: '
SOCKET = 'connection to server on socket "/run/.s.PGSQL.5432" failed: '
OF_LIBPQ = {
    'definition of service "x" not found': (78, "service"),
    'service file "/x" not found': (78, "service"),
    'nested service specifications not supported in service file "/x", line 3': (78, "service"),
    'invalid integer value "x" for connection option "port"': (78, "port"),
    'invalid port number: "99999"': (78, "port"),
    'invalid sslmode value: "x"': (78, "sslmode"),
    'invalid "ssl_min_protocol_version" value: "x"': (78, "ssl_min_protocol_version"),
    "could not match 3 port numbers to 2 hosts": (78, "port"),
    "could not match 3 host names to 2 hostaddr values": (78, "host"),
    'weak sslmode "prefer" may not be used with sslrootcert=system (use "verify-full")': (
        78,
        "sslmode",
    ),
    f"{AT}host name must be specified for a verified SSL connection": (78, "host"),
    "local user with ID 10001 does not exist": (78, "user"),
    "could not look up local user ID 10001: x": (78, "user"),
    'could not translate host name "db" to address: Name or service not known': (69, "host"),
    'could not parse network address "x": x': (69, "host"),
    f"{AT}Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?": (
        69,
        "host",
    ),
    f"{AT}No route to host": (69, "host"),
    f"{AT}Network is unreachable": (69, "host"),
    f"{AT}Connection timed out": (69, "host"),
    f"{AT}timeout expired": (69, "host"),
    f"{SOCKET}No such file or directory\n\tIs the server running locally and accepting connections on that socket?": (
        69,
        "host",
    ),
    f"{AT}server does not support SSL, but SSL was required": (78, "sslmode"),
    f'{AT}root certificate file "/x" does not exist\nEither provide the file, use …': (
        78,
        "sslrootcert",
    ),
    f'{AT}could not read root certificate file "/x": x': (78, "sslrootcert"),
    f"{AT}could not load system root certificate paths: x": (78, "sslrootcert"),
    f"{AT}could not get home directory to locate root certificate file\nEither provide …": (
        78,
        "sslrootcert",
    ),
    f"{AT}SSL error: certificate verify failed": (78, "sslrootcert"),
    f"{AT}SSL error: certificate verify failed: certificate has expired": (78, "sslrootcert"),
    f'{AT}server certificate for "x" (and 1 other name) does not match host name "y"': (78, "host"),
    f"{AT}could not get server's host name from server certificate": (78, "host"),
    f'{AT}private key file "/x" has group or world access; …': (78, "sslcert"),
    f'{AT}could not open certificate file "/x": Permission denied': (78, "sslcert"),
    f'{AT}certificate present, but not private key file "/x"': (78, "sslcert"),
    f'{AT}could not load private SSL key "x" from engine "y": x': (78, "sslcert"),
    f"{AT}SSL error: tlsv13 alert certificate required": (77, "sslcert"),
    f"{AT}SSL error: wrong version number": (69, "host"),
    f"{AT}could not establish SSL connection: x": (69, "host"),
    f"{AT}direct SSL connection was established without ALPN protocol negotiation extension": (
        69,
        "host",
    ),
    f"{AT}received invalid response to SSL negotiation: H": (78, "host"),
    f"{AT}expected authentication request from server, but received H": (78, "host"),
    f"{AT}received unencrypted data after SSL response": (78, "host"),
    f"{AT}fe_sendauth: no password supplied": (78, "password"),
    f"{AT}channel binding required, but SSL not in use": (78, "require_auth"),
    f'{AT}authentication method requirement "md5" failed: x': (78, "require_auth"),
    f"{AT}none of the server's SASL authentication mechanisms are supported": (78, "require_auth"),
    f"{AT}server did not request an SSL certificate": (78, "require_auth"),
    f"{AT}session is read-only": (69, "target_session_attrs"),
    f"{AT}server is not in hot standby mode": (69, "target_session_attrs"),
    f"{AT}server closed the connection unexpectedly\n\tThis probably means …": (69, "host"),
    f"{AT}SSL SYSCALL error: EOF detected": (69, "host"),
    f"{AT}could not send startup packet: Broken pipe": (69, "host"),
    f"{AT}could not receive data from server: Connection reset by peer": (69, "host"),
}
OF_A_SERVER = {
    "28P01": (77, "password"),
    "28000": (77, "user"),
    "3D000": (78, "dbname"),
    "42501": (77, "options"),
    "42704": (78, "options"),
    "22023": (78, "options"),
    "55P02": (78, "options"),
    "53300": (69, "host"),
    "53200": (69, "host"),
    "55000": (69, "host"),
    "57P03": (69, "host"),
    "58030": (69, "host"),
    "08006": (69, "host"),
    "08P01": (69, "host"),
}


@pytest.mark.parametrize("text", OF_LIBPQ)
def test_failures_of_libpq_are_classed_by_phrase(text: str) -> None:
    """A phrase decides the exit code, and the option that the error names."""
    failure, option = failure_of(f"{text}\n", None)
    assert (failure.kind.exit_code, option) == OF_LIBPQ[text]
    assert failure is not UNKNOWN
    assert not is_of_a_server(text)


def test_no_phrase_is_without_an_example() -> None:
    """So no phrase is unused, or shadowed by a phrase before it."""
    for failure in FAILURES:
        for phrase in failure.phrases if not failure.states else ():
            examples = [text for text in OF_LIBPQ if re.search(phrase, text)]
            assert any(failure_of(text, None)[0] is failure for text in examples), phrase


@pytest.mark.parametrize("state", OF_A_SERVER)
def test_refusals_of_a_server_are_classed_by_sqlstate(state: str) -> None:
    """The text does not count, even if it looks like libpq's."""
    for text in ("FATAL:  Connection refused", "ВАЖНО:  x", "ÖLÜMCÜL (FATAL):  x"):
        assert is_of_a_server(AT + text)
        failure, option = failure_of(AT + text, state)
        assert (failure.kind.exit_code, option) == OF_A_SERVER[state]


def test_the_last_host_counts() -> None:
    """If one host is away and the next refuses, the refusal counts. A text without a class gets no class."""
    text = f"{AT}Connection refused\n{AT}FATAL:  x\n"
    assert is_of_a_server(text)
    assert failure_of(text, "28P01")[0].kind.exit_code == 77
    assert not is_of_a_server(f"{AT}FATAL:  x\n{AT}Connection refused\n")
    without_tls = "server does not support SSL, but SSL was required"
    reached = failure_of(f"{AT}Connection refused\n{AT}{without_tls}\n", None)
    assert reached == failure_of(f"{AT}{without_tls}\n", None)
    assert reached != failure_of(f"{AT}Connection refused\n", None)
    assert failure_of(f"{AT}something new\n", None)[0] is UNKNOWN
    assert failure_of(f"{AT}FATAL:  timeout expired\n", "")[0] is UNKNOWN
    assert failure_of(f"{AT}FATAL:  x\n", "XX000")[0] is UNKNOWN_STATE
