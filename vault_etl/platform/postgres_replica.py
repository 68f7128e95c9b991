"""Check that a server is a replica of this vault, and how far it is behind (docs/adr/0045-reads-from-a-replica.md)."""

from __future__ import annotations

import datetime as dt
import math
import time
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from typing_extensions import override

from vault_etl.base.errors import ConfigurationError, LoginDeniedError, UnavailableError
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.postgres_statement_errors import UnsupportedError
from vault_etl.platform.replica import SETTING, Replica, ReplicaFacts
from vault_etl.platform.resources import blocks

CATCH_UP_S: Final = 3.0
"""Seconds that a replica gets to replay the transactions committed before the check."""

_SQL: Final = blocks("platform/replica.sql")
_POLL_S: Final = 0.05
_FOREIGN: Final = f"{SETTING} is not the database of this vault"
_HINT: Final = (
    f"{SETTING} is a physical replica of the server in VAULT_ETL_DATABASE_URL, and the same database; or that server"
    " itself"
)


class PostgresReplica(ReplicaFacts):
    """Compares the two servers by their own statements."""

    def __init__(self, primary: Database, replica: Database, max_lag_s: float) -> None:
        self._primary = primary
        self._replica = replica
        self._max_lag_s = max_lag_s

    @override
    def check(self) -> Replica:
        ours, at = _identity(self._primary), _position(self._primary)
        theirs = self._of_replica()
        if (theirs.vault_id, theirs.database) != (ours.vault_id, ours.database):
            raise ConfigurationError(_FOREIGN, hint=_HINT)
        if (theirs.started_at, theirs.in_recovery) == (ours.started_at, ours.in_recovery):
            return theirs.found(is_replica=False, behind_s=0.0)
        if not theirs.in_recovery:
            message = f"the server of {SETTING} is not a replica: it was promoted, or is a copy"
            raise ConfigurationError(message, hint=_HINT)
        behind_s = self._behind(at)
        self._compare_migrations()
        if behind_s is not None and behind_s > self._max_lag_s:
            lag = f"{behind_s:.0f} s" if math.isfinite(behind_s) else "for an unknown time"
            raise UnavailableError(
                f"the replica of {SETTING} is behind: {lag}",
                hint="does it replay, and is it connected? VAULT_ETL_READ_MAX_LAG is the limit; without"
                f" {SETTING} the primary is read",
            )
        return theirs.found(is_replica=True, behind_s=behind_s)

    def _of_replica(self) -> _Identity:
        try:
            return _identity(self._replica)
        except ConfigurationError as error:
            if SETTING in str(error):  # the connection was not made
                raise
            raise ConfigurationError(_FOREIGN, hint=_HINT) from None

    def _behind(self, primary: _Position | None) -> float | None:
        """Return the lag of the replica in seconds, at most; None if one of the servers does not say."""
        until = time.monotonic() + CATCH_UP_S
        while True:
            replica = _position(self._replica)
            if primary is None or replica is None:
                return None
            if replica.system != primary.system:
                message = f"the server of {SETTING} is a replica of another server"
                raise ConfigurationError(message, hint=_HINT)
            if replica.written >= primary.written:
                return 0.0
            if time.monotonic() >= until:
                return primary.seconds_since(replica.replayed_at)
            time.sleep(_POLL_S)

    def _compare_migrations(self) -> None:
        both = (self._primary, self._replica)
        ours, theirs = (set(_rows(each, _SQL["migrations"])) for each in both)
        if theirs != ours:
            message = f"the migrations of {SETTING} are not those of the primary"
            raise UnavailableError(
                message, hint="the replica replays them with the rest: try again later"
            )


@dataclass(frozen=True, slots=True)
class _Identity:
    vault_id: uuid.UUID
    database: int
    """The oid of the database. A copy on the same server has another one."""
    in_recovery: bool
    started_at: dt.datetime
    cancels_after: str
    feedback: str
    server: str

    def found(self, *, is_replica: bool, behind_s: float | None) -> Replica:
        return Replica(self.server, is_replica, behind_s, self.cancels_after, self.feedback == "on")


@dataclass(frozen=True, slots=True)
class _Position:
    system: int
    now: dt.datetime
    written: Decimal
    """Position in the write-ahead log, in bytes."""
    replayed_at: dt.datetime | None

    def seconds_since(self, commit: dt.datetime | None) -> float:
        """Return the seconds since the commit, by the clock of the primary, which also stamped the commit."""
        return math.inf if commit is None else max(0.0, (self.now - commit).total_seconds())


def _identity(database: Database) -> _Identity:
    with database.transaction(within=ANSWER_WITHIN_S) as cursor:
        cursor.execute(_SQL["identity"])
        found = cursor.fetchone()
        asked = cursor.connection.info
        if found is None:
            raise ConfigurationError("the database has no vault")
        vault_id, oid, in_recovery, started_at, delay, feedback = found
        server = f"{asked.host}:{asked.port}"
        return _Identity(vault_id, oid, in_recovery, started_at, delay, feedback, server)


def _position(database: Database) -> _Position | None:
    """Return None if the server lacks the functions, as Aurora does, or denies them to this login."""
    try:
        ((system, now, written, replayed_at),) = _rows(database, _SQL["position"])
    except (UnsupportedError, LoginDeniedError):
        return None
    return None if written is None else _Position(system, now, written, replayed_at)


def _rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    with database.transaction(within=ANSWER_WITHIN_S) as cursor:
        cursor.execute(statement)
        return cursor.fetchall()
