"""The facts that `doctor` and `status` read from Postgres."""

from __future__ import annotations

import datetime as dt
import itertools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from typing_extensions import override

from vault_etl.audit.chain import StoredCheckpoint
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.doctor.audit import SignedState, Turn, TurnHolder, Unsigned
from vault_etl.doctor.database import ClosedArchive, MonthFacts
from vault_etl.doctor.keys import Miscount, TokenGenerations, Wrapping
from vault_etl.doctor.logins import LoginRights, OddMember
from vault_etl.doctor.server import Server, Slot, Transport
from vault_etl.doctor.status import Commits, QuarantinedLately, Sessions
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("doctor/doctor.sql")
_LOGINS: Final = blocks("doctor/logins.sql")
_STATUS: Final = blocks("doctor/status.sql")
_NOTHING: Final[Mapping[str, object]] = {}


class PostgresFacts(MonthFacts, SignedState):
    """Reads the facts that checks judge; each query ends within `ANSWER_WITHIN_S`, unless it reads every row.

    Raises DeniedError for facts that the caller may not see, UnavailableError and ConfigurationError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def server(self) -> Server:
        """Return version and encoding, and how the session was made."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["server"])
            ((version, encoding, pid, login),) = cursor.fetchall()
            asked = cursor.connection.info
            # A pooler answers the connection with a process id of its own.
            pooled, as_login = pid != asked.backend_pid, login == asked.user
            return Server(version, encoding, pooled=pooled, as_login=as_login)

    def transport(self) -> Transport:
        """Return the parameters with which libpq reaches the server."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            used = cursor.connection.info.dsn_parameters
        names, addresses = (used.get(key, "").split(",") for key in ("host", "hostaddr"))
        pairs = itertools.zip_longest(names, addresses, fillvalue="")
        return Transport(used["sslmode"], [address or name for name, address in pairs])

    def log_settings(self) -> Mapping[str, str]:
        """Return the server's settings about logged statements, without those of modules that are not loaded."""
        return dict(self._rows(_SQL["log_settings"]))

    def fence_bytes(self) -> int:
        """Return the size of `key_fence` in bytes: 0 unless it ever held a row."""
        ((size,),) = self._rows(_SQL["fence_bytes"])
        return int(size)

    @override
    def missing_months(self, events: Sequence[DeclaredEvent], ahead: int) -> Sequence[str]:
        values = {"events": [event.name for event in events], "ahead": ahead}
        return [month for (month,) in self._rows(_SQL["missing_months"], values)]

    @override
    def detached_months(self) -> Sequence[str]:
        return [name for (name,) in self._rows(_SQL["detached"])]

    def slots(self) -> Sequence[Slot]:
        """Return all replication slots, by name."""
        return [Slot(*row) for row in self._rows(_SQL["slots"])]

    @override
    def archives(self) -> Sequence[ClosedArchive]:
        return [ClosedArchive(*row) for row in self._rows(_SQL["archives"])]

    def rights(self) -> LoginRights:
        """Return the rights of the login of this session."""
        ((superuser, roles),) = self._rows(_LOGINS["rights"])
        return LoginRights(superuser, roles)

    def mixed_logins(self) -> Mapping[str, bool]:
        """Return the logins that may ingest or reveal and read tokens, superusers excepted; True for this login."""
        return dict(self._rows(_LOGINS["mixed_logins"]))

    def odd_members(self) -> Sequence[OddMember]:
        """Return members of our roles with other attributes or roles, or that act as the owner; faults first."""
        return [OddMember(*row) for row in self._rows(_LOGINS["odd_members"])]

    def other_vaults(self) -> Sequence[str]:
        """Return the other databases, and schemas of this database, that our owner role has objects in."""
        return [name for (name,) in self._rows(_LOGINS["other_vaults"])]

    def wrappings(self) -> Sequence[Wrapping]:
        """Return the number of keys by purpose and KMS key."""
        rows = self._rows(_SQL["wrappings"])
        return [Wrapping(KeyPurpose(purpose), arn, keys) for purpose, arn, keys in rows]

    def token_generations(self, *, every_row: bool) -> TokenGenerations:
        """Read the generations of tokens from a sample of each partition, or from every row."""
        with self._database.transaction(long=every_row) as cursor:
            cursor.execute(_SQL["token_generations"], {"every_row": every_row})
            (row,) = cursor.fetchall()
        return TokenGenerations(*row)

    def miscounted(self) -> Sequence[Miscount]:
        """Return kept counts that differ from the rows. Reads every row, without a limit of time."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_SQL["miscounted"])
            return [Miscount(*row) for row in cursor.fetchall()]

    @override
    def registrations(self) -> Sequence[tuple[int, str]]:
        return [(seq, note) for seq, note in self._rows(_SQL["registrations"])]

    @override
    def checkpoints(self) -> tuple[uuid.UUID | None, Sequence[StoredCheckpoint]]:
        rows = self._rows(_SQL["checkpoints"])
        stored = [
            StoredCheckpoint(seq, bytes(hash_), bytes(key_hash), bytes(signature), login)
            for _, seq, hash_, key_hash, signature, login in rows
            if seq is not None
        ]
        return rows[0][0], stored

    @override
    def unsigned(self, signed_seq: int) -> Unsigned:
        ((entries, oldest),) = self._rows(_SQL["unsigned"], {"seq": signed_seq})
        return Unsigned(entries, oldest)

    def turn(self) -> Turn:
        """Return the session that holds the turn to write the audit log now."""
        ((pid, login, seconds, visible),) = self._rows(_SQL["turn"])
        holder = None if pid is None else TurnHolder(pid, login or "", seconds or 0.0)
        return Turn(holder, visible)

    def commits(self) -> Commits | None:
        """Return the last commit of a worker; None if no commit was ever made."""
        return next((Commits(*row) for row in self._rows(_STATUS["commits"])), None)

    def quarantined_lately(self, now: dt.datetime) -> Sequence[QuarantinedLately]:
        """Count messages quarantined today and yesterday (UTC) by reason, the most frequent first; 100,000 at most."""
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        values = {"today": today, "yesterday": today - dt.timedelta(days=1)}
        return [
            QuarantinedLately(*row) for row in self._rows(_STATUS["quarantined_lately"], values)
        ]

    def sessions(self) -> Sequence[Sessions]:
        """Return the sessions of each connected login that may ingest."""
        return [Sessions(*row) for row in self._rows(_STATUS["sessions"])]

    def rotations(self) -> Sequence[tuple[str, dt.datetime]]:
        """Return purpose and begin of each rotation that is under way."""
        return [(purpose, began) for purpose, began in self._rows(_STATUS["rotations"])]

    def _rows(
        self, statement: str, values: Mapping[str, object] = _NOTHING
    ) -> list[tuple[Any, ...]]:
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()
