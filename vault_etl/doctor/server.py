"""Checks of the database server: version, connection, TLS, its log, its replica and its replication slots."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.audit.log import Identity
from vault_etl.doctor.diagnose import Verdict
from vault_etl.doctor.logins import is_emulated
from vault_etl.platform.replica import ReplicaFacts

OLDEST: Final = 160_000
"""PostgreSQL 16, as `server_version_num`."""

VERIFIED: Final = "verify-full"
"""The only `sslmode` that checks the server's certificate and its name."""

MAX_HELD_BYTES: Final = 2**30
"""Bytes of WAL that a slot without a consumer may hold back. More WAL fills the disk, or the slot is lost."""

_OFF: Final = {
    "log_statement": ("none", "ddl", "mod"),  # none of them logs a SELECT
    "log_min_duration_statement": ("-1",),
    "log_min_duration_sample": ("-1",),
    "log_transaction_sample_rate": ("0",),
    "auto_explain.log_min_duration": ("-1",),
    "pgaudit.log": ("none", ""),
}
"""Settings that log statements, with the values that turn this off."""

_SENT: Final = "log_parameter_max_length"
_VALUES: Final = {
    "auto_explain.log_min_duration": ("auto_explain.log_parameter_max_length", "0"),
    "pgaudit.log": ("pgaudit.log_parameter", "off"),
}
"""The setting that leaves out the values of statements, for settings of modules. `_SENT` does this for Postgres."""

_ON_ERROR: Final = "log_parameter_max_length_on_error"


@dataclass(frozen=True, slots=True)
class Server:
    """A database server. `version` is its `server_version_num`, for example 160004."""

    version: int
    encoding: str
    pooled: bool
    """True if a pooler such as PgBouncer answered the connection, and not a session of the server."""
    as_login: bool
    """True if the server takes the session for the login that the client asked for."""


@dataclass(frozen=True, slots=True)
class Transport:
    """The connection parameters that libpq used: URL, service file and environment together."""

    sslmode: str
    hosts: Sequence[str]
    """Every server that libpq may connect to: addresses, names, or paths of Unix sockets."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot of the server, for any database."""

    name: str
    active: bool
    """True if its consumer is connected."""
    wal_status: str
    """`reserved`, `extended`, `unreserved` or `lost`."""
    held_bytes: int
    """Bytes of WAL that the server keeps for the slot."""


def server(found: Server) -> Verdict:
    """Check that the server is new enough, uses UTF-8, and knows the login by its own name. Name a pooler."""
    if found.version < OLDEST:
        return Verdict.bad(
            f"PostgreSQL {found.version // 10_000} is too old",
            "vault-etl needs PostgreSQL 16 or newer",
        )
    if found.encoding != "UTF8":
        return Verdict.bad(
            f"the database's encoding is {found.encoding}",
            "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and move to it",
        )
    if not found.as_login:
        return Verdict.bad(
            "the pooler connects under another login's name, which the audit log and the quotas take for this one",
            "take `user` out of its database's settings: every login must keep its own name",
        )
    through = ", through a pooler, whose address is `client_address` in the audit log"
    return Verdict.good(
        f"PostgreSQL {found.version // 10_000}, UTF8{through if found.pooled else ''}"
    )


def postgres_tls(
    found: Transport,
    identity: Callable[[], Identity],
    setting: str = "VAULT_ETL_DATABASE_URL",
) -> Verdict:
    """Check that libpq connects to this machine, or verifies the certificate and name of every server.

    In an emulator, where no key guards a secret, a weaker mode is a warning and no fault.
    """
    away = [host for host in found.hosts if not is_this_machine(host)]
    if not away:
        return Verdict.good("on this machine")
    if found.sslmode == VERIFIED:
        return Verdict.good(f"sslmode={VERIFIED}")
    detail = (
        f"sslmode={found.sslmode} to {', '.join(away)}: a machine in between may read and answer"
    )
    if is_emulated(identity):
        return Verdict.good(f"warning: {detail}; no fault in an emulator")
    return Verdict.bad(detail, f"sslmode={VERIFIED} and sslrootcert in {setting}")


def logged_values(settings: Mapping[str, str]) -> Verdict:
    """Check that the server's log gets no values of statements: user ids, and tokens that `find` searches for."""
    loud = [
        name
        for name, off in _OFF.items()
        if settings.get(name, off[0]) not in off and _with_values(name, settings)
    ]
    if settings[_ON_ERROR] != "0":
        loud.append(_ON_ERROR)
    if not loud:
        return Verdict.good("user ids and tokens are not logged")
    off = sorted({_VALUES.get(name, (_SENT, "0")) for name in loud if name != _ON_ERROR})
    wanted = [f"{name} = {value}" for name, value in off]
    wanted += [f"{_ON_ERROR} = 0"] if _ON_ERROR in loud else []
    return Verdict.bad(
        f"values of statements are logged, user ids and tokens among them ({', '.join(loud)})",
        f"ALTER DATABASE … SET {', '.join(wanted)}, as a superuser, or in the parameter group",
    )


def replica(facts: ReplicaFacts) -> Verdict:
    """Check that the replica may be read. Raises what is wrong with it."""
    found = facts.check()
    values = {"server": found.server, "behind_seconds": found.behind_s}
    if not found.is_replica:
        return Verdict.good(f"{found.server} is the primary itself", **values)
    lag = "does not say how far it is behind"
    if found.behind_s is not None:
        lag = "has all that is committed"
        if found.behind_s:
            lag = f"is {found.behind_s:.0f} s behind at most"
    limits = f"cancels queries that delay it for {found.cancels_after}"
    if found.has_feedback:
        limits = "makes the primary keep old rows for its queries"
    return Verdict.good(f"{found.server} {lag}; it {limits}", **values)


def slots(found: Sequence[Slot]) -> Verdict:
    """Check that no slot without a consumer holds back much WAL, and that no slot has lost WAL that it needs."""
    texts = [
        f"{each.name} holds back {each.held_bytes / 2**20:,.0f} MiB of WAL"
        f"{'' if each.active else ', and is not connected'}"
        for each in found
    ]
    at_fault = [
        text
        for each, text in zip(found, texts, strict=True)
        if each.wal_status in {"unreserved", "lost"}
        or (each.held_bytes > MAX_HELD_BYTES and not each.active)
    ]
    if at_fault:
        return Verdict.bad(
            "; ".join(at_fault),
            "connect its consumer, or drop the slot: pg_drop_replication_slot, as a superuser;"
            " set max_slot_wal_keep_size",
        )
    return Verdict.good("; ".join(texts) or "there are none")


def is_this_machine(host: str) -> bool:
    """Tell whether a host is a Unix socket (libpq: empty, a path, or `@`), or a loopback address or name."""
    if not host or host.startswith(("/", "@")):
        return True
    name = host.lower().rstrip(".")
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _with_values(name: str, settings: Mapping[str, str]) -> bool:
    setting, off = _VALUES.get(name, (_SENT, "0"))
    return settings.get(setting) != off
