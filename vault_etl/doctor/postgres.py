"""What `doctor` asks of Postgres."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from vault_etl.audit.chain import StoredCheckpoint
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.doctor.views import (
    ClosedArchive,
    Holder,
    LoginRights,
    Miscount,
    OddMember,
    Server,
    Slot,
    TokenGenerations,
    Transport,
    Turn,
    Unsigned,
    Wrapping,
)
from vault_etl.platform.postgres import ANSWER_WITHIN_S, Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("doctor/doctor.sql")
_LOGINS: Final = blocks("doctor/logins.sql")
_NOTHING: Final[Mapping[str, object]] = {}


class PostgresFacts:
    """Every port of `vault_etl.doctor.views` that is about the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def server(self) -> Server:
        """See `ServerFacts.server`."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(_SQL["server"])
            ((version, encoding, pid, login),) = cursor.fetchall()
            asked = cursor.connection.info
            # A pooler gives a number of its own when it is connected to.
            pooled, as_login = pid != asked.backend_pid, login == asked.user
            return Server(version, encoding, pooled=pooled, as_login=as_login)

    def transport(self) -> Transport:
        """See `ServerFacts.transport`."""
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            used = cursor.connection.info.dsn_parameters
        names, addresses = (used.get(key, "").split(",") for key in ("host", "hostaddr"))
        pairs = itertools.zip_longest(names, addresses, fillvalue="")
        return Transport(used["sslmode"], [address or name for name, address in pairs])

    def log_settings(self) -> Mapping[str, str]:
        """See `LogFacts.log_settings`."""
        return dict(self._rows(_SQL["log_settings"]))

    def fence_bytes(self) -> int:
        """See `ServerFacts.fence_bytes`."""
        ((size,),) = self._rows(_SQL["fence_bytes"])
        return int(size)

    def missing_months(self, ahead: int) -> Sequence[str]:
        """See `ServerFacts.missing_months`."""
        return [month for (month,) in self._rows(_SQL["missing_months"], {"ahead": ahead})]

    def detached_months(self) -> Sequence[str]:
        """See `ServerFacts.detached_months`."""
        return [name for (name,) in self._rows(_SQL["detached"])]

    def slots(self) -> Sequence[Slot]:
        """See `SlotFacts.slots`."""
        return [Slot(*row) for row in self._rows(_SQL["slots"])]

    def archives(self) -> Sequence[ClosedArchive]:
        """See `ServerFacts.archives`."""
        return [ClosedArchive(*row) for row in self._rows(_SQL["archives"])]

    def rights(self) -> LoginRights:
        """See `LoginFacts.rights`."""
        ((superuser, roles),) = self._rows(_LOGINS["rights"])
        return LoginRights(superuser, roles)

    def mixed_logins(self) -> Mapping[str, bool]:
        """See `LoginFacts.mixed_logins`."""
        return dict(self._rows(_LOGINS["mixed_logins"]))

    def odd_members(self) -> Sequence[OddMember]:
        """See `LoginFacts.odd_members`."""
        return [OddMember(*row) for row in self._rows(_LOGINS["odd_members"])]

    def wrappings(self) -> Sequence[Wrapping]:
        """See `KeyWrappings.wrappings`."""
        rows = self._rows(_SQL["wrappings"])
        return [Wrapping(KeyPurpose(purpose), arn, keys) for purpose, arn, keys in rows]

    def token_generations(self, *, every_row: bool) -> TokenGenerations:
        """See `ValueCounts.token_generations`."""
        with self._database.transaction(long=every_row) as cursor:
            cursor.execute(_SQL["token_generations"], {"every_row": every_row})
            (row,) = cursor.fetchall()
        return TokenGenerations(*row)

    def miscounted(self) -> Sequence[Miscount]:
        """See `ValueCounts.miscounted`. Takes as long as it takes."""
        with self._database.transaction(long=True) as cursor:
            cursor.execute(_SQL["miscounted"])
            return [Miscount(*row) for row in cursor.fetchall()]

    def registrations(self) -> Sequence[tuple[int, str]]:
        """See `SignedState.registrations`."""
        return [(seq, note) for seq, note in self._rows(_SQL["registrations"])]

    def checkpoints(self) -> tuple[uuid.UUID | None, Sequence[StoredCheckpoint]]:
        """See `SignedState.checkpoints`."""
        rows = self._rows(_SQL["checkpoints"])
        stored = [
            StoredCheckpoint(seq, bytes(hash_), bytes(key_hash), bytes(signature), login)
            for _, seq, hash_, key_hash, signature, login in rows
            if seq is not None
        ]
        return rows[0][0], stored

    def unsigned(self, signed_seq: int) -> Unsigned:
        """See `SignedState.unsigned`."""
        ((entries, oldest),) = self._rows(_SQL["unsigned"], {"seq": signed_seq})
        return Unsigned(entries, oldest)

    def turn(self) -> Turn:
        """See `TurnHolder.turn`."""
        ((pid, login, seconds, visible),) = self._rows(_SQL["turn"])
        holder = None if pid is None else Holder(pid, login or "", seconds or 0.0)
        return Turn(holder, visible)

    def _rows(
        self, statement: str, values: Mapping[str, object] = _NOTHING
    ) -> list[tuple[Any, ...]]:
        with self._database.transaction(within=ANSWER_WITHIN_S) as cursor:
            cursor.execute(statement, values)
            return cursor.fetchall()
