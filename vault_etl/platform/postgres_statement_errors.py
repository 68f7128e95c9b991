"""SQLSTATEs of statements: each with our error and its hint."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Final

import psycopg2
import psycopg2.extensions
import psycopg2.extras
import psycopg2.sql

from vault_etl.base.errors import (
    ConfigurationError,
    IncompleteError,
    LoginDeniedError,
    RateLimitedError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.platform.waiting import retried

READ_ONLY: Final = "25006"


RATE_LIMITED: Final = "VE429"
"""The SQLSTATE of our function `audit_rate`. Its DETAIL is the seconds to wait."""


TOO_MANY_KEYS: Final = "VE507"
"""The SQLSTATE of our trigger `data_keys_are_few`."""


OTHER_DECLARATION: Final = "VE478"
"""The SQLSTATE of our function `ensure_declared`."""


_MIGRATE_HINT: Final = (
    "run `vault-etl migrate` as the owner, or name the declaration in force in VAULT_ETL_SCHEMA_FILE:"
    " `vault-etl migrate --check` tells"
)


class ValueRefusedError(VaultEtlError):
    """The database refused a value of a row: SQLSTATE 22xxx, 23502, or 23514 with a constraint."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"the database refused a value (SQLSTATE {sqlstate})")
        self.sqlstate = sqlstate


class LockTimeoutError(UnavailableError):
    """Another session held a lock for too long (SQLSTATE 55P03, or 40P01 for a deadlock)."""

    word = "locked"


class NoPartitionError(IncompleteError):
    """No partition exists for the month of a record (SQLSTATE 23514 without a constraint)."""

    word = "no partition"


class ObjectsDependError(ConfigurationError):
    """Other objects depend on the object to change (SQLSTATE 2BP01)."""


class UnsupportedError(ConfigurationError):
    """The server is not PostgreSQL, or lacks a part of it (SQLSTATE 0A000)."""


def translated(error: psycopg2.Error) -> VaultEtlError:
    """Return our error for what psycopg2 raised. Its text is not used: it quotes rows and values."""
    state = error.pgcode
    if state is None:
        if isinstance(error, psycopg2.ProgrammingError):
            return VaultEtlError("a value of a type that Postgres is not given")
        return error_of_answer(LOST)
    if state == RATE_LIMITED:
        return _too_fast(error.diag.message_detail)
    if error.diag.constraint_name == _ONE_GENERATION:
        return error_of_answer(_OTHER_GENERATION)
    named = error.diag.constraint_name is not None
    if state[:2] == "22" or state == "23502" or (state == "23514" and named):
        return ValueRefusedError(state)
    kind, message, hint = ANSWERS.get(state) or ANSWERS.get(state[:2]) or BUG
    return kind(f"Postgres: {message} (SQLSTATE {state})", hint=hint)


def error_of_answer(answer: _Answer) -> VaultEtlError:
    """Return the error of a line of the table below."""
    kind, message, hint = answer
    return kind(message, hint=hint)


def _too_fast(seconds: str | None) -> RateLimitedError:
    """Return the error of a rate limit. A DETAIL that is not a number is left out."""
    wait = f"in {seconds} s" if re.fullmatch(r"[0-9]{1,3}", seconds or "") else "in a minute"
    return RateLimitedError(
        "Postgres: this login writes too much of the audit log in too short a time",
        hint=f"run it again {wait}",
    )


_Answer = tuple[type[VaultEtlError], str, str | None]


_DENIED: Final[_Answer] = (
    LoginDeniedError,
    "this login may not do that",
    "use a login that has the role for it: `vault-etl doctor` lists the roles of this one",
)


_LOCKED: Final[_Answer] = (LockTimeoutError, "a lock was not granted in time", None)


_NOT_MIGRATED: Final[_Answer] = (
    ConfigurationError,
    "the database is not up to date",
    _MIGRATE_HINT,
)


_IN_THE_WAY: Final[_Answer] = (
    ConfigurationError,
    "an object with a name of vault-etl exists already",
    "find the object in the schema vault_etl that is not of vault-etl, and rename or move it",
)


_NO_PARTITION: Final[_Answer] = (
    NoPartitionError,
    "no partition exists for a record",
    "a month was detached or dropped meanwhile: run the command again",
)


_ONE_GENERATION: Final = "tokens_of_one_generation"
"""A constraint of `user_logins`. No value of the row is at fault."""


_OTHER_GENERATION: Final[_Answer] = (
    IncompleteError,
    "rows have tokens of a generation that is not the active one",
    "were the token keys rotated meanwhile? run the command again",
)


_AWAY: Final[_Answer] = (UnavailableError, "not available", "run the command again")


_CONFLICT: Final[_Answer] = (
    UnavailableError,
    "a query on a replica was in the way of its replay, and was cancelled",
    "run the command again; long queries need a longer max_standby_streaming_delay there, or hot_standby_feedback = on",
)


_UNSUPPORTED: Final[_Answer] = (
    UnsupportedError,
    "this server lacks a feature of PostgreSQL",
    "is it another product that speaks the protocol of PostgreSQL?",
)


_ENDED: Final[_Answer] = (
    UnavailableError,
    "a statement was cancelled, or took longer than statement_timeout",
    "is the server overloaded? another limit is set for the login or the database",
)


_DEPENDED_ON: Final[_Answer] = (ObjectsDependError, "other objects depend on this one", None)


_OTHERWISE: Final[_Answer] = (
    IncompleteError,
    "the object is not in the required state",
    "another process may have been faster: run the command again",
)


_FULL: Final[_Answer] = (
    IncompleteError,
    "this login has too many active data keys of a field",
    "did another process use this login? retire them with `vault-etl keys rotate`, or wait for a day",
)


_DECLARED: Final[_Answer] = (
    ConfigurationError,
    "the declaration of this command is not the one in force any more",
    "name the applied file in VAULT_ETL_SCHEMA_FILE: `vault-etl doctor` compares both",
)


LOST: Final[_Answer] = (
    UnavailableError,
    "the connection to Postgres was lost",
    "run the command again",
)


SILENT: Final[_Answer] = (
    UnavailableError,
    "Postgres did not answer in time",
    "is Postgres frozen or overloaded, or did a proxy lose it?",
)


BUG: Final[_Answer] = (
    VaultEtlError,
    "a statement of ours was refused",
    "please report this line; the server's log may say more",
)


ANSWERS: Final[Mapping[str, _Answer]] = {
    "0A000": _UNSUPPORTED,
    "23514": _NO_PARTITION,
    "2BP01": _DEPENDED_ON,
    READ_ONLY: _AWAY,  # a standby, or a server during a failover
    "25P03": _AWAY,  # the server ended an idle transaction
    "25P04": _AWAY,  # the server ended a transaction that took too long
    "40001": _CONFLICT,  # never on a primary: our writing transactions are READ COMMITTED
    "40P01": _LOCKED,
    "42501": _DENIED,
    **dict.fromkeys(("42P06", "42P07", "42710", "42723"), _IN_THE_WAY),
    "55000": _OTHERWISE,  # raised by our functions and triggers
    "55P03": _LOCKED,
    "57014": _ENDED,
    TOO_MANY_KEYS: _FULL,
    OTHER_DECLARATION: _DECLARED,
    **dict.fromkeys(("3F000", "42703", "42704", "42883", "42P01"), _NOT_MIGRATED),
    **dict.fromkeys(("08", "53", "57", "58"), _AWAY),
}
"""Answers to a statement, by the SQLSTATE or its class (docs/generate_failures.py writes them to the docs)."""


retried_for_locks = functools.partial(retried, LockTimeoutError)
"""Decorate a function that changes nothing if another session holds a lock for too long: call it again."""
