"""Sets on the record of the vault: which there are, which keys they need, and which erasures they lack."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import psycopg2.extensions

from vault_etl.archives.manifest import Contents, GenerationCount, KeyCount
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.base.errors import IncompleteError, RateLimitedError, StoppedError, UsageError
from vault_etl.crypto.fields import EventName
from vault_etl.declaration.document import digest_of
from vault_etl.declaration.model import Declaration
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_bound import rows_of
from vault_etl.platform.postgres_statement_errors import retried_for_locks
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("lake/lake.sql")
_TRIES: Final = 3
"""Attempts, each of which waits up to ten seconds for a lock."""


@dataclass(frozen=True, slots=True)
class RecordedSet:
    """A set on the record, or the archive of a month, which is a set too."""

    event: EventName
    location: str
    """An absolute path, or s3://bucket/prefix."""
    manifest_sha256: bytes | None
    """The SHA-256 of the manifest in force. None while the set is written for the first time."""
    set_id: uuid.UUID | None
    """None for the archive of a month: its manifest has the id."""
    partition: str | None
    """The name of the month, such as `user_logins_2024_03`; None for other sets."""
    version: int | None
    rows: int | None
    """Rows of the set, so far while it is written. Both are None for the archive of a month."""
    made_at: dt.datetime
    recorded_at: dt.datetime
    erasures: int
    """How many erasures wait for `lake erase`, or for a restore of the month."""
    alone: bool
    """False for the archive of a month that has a table too: `partitions archive` writes it again."""


@dataclass(frozen=True, slots=True)
class PendingErasure:
    """An erasure that a set lacks: of one record, or of all records of a user."""

    erasure_id: int
    record_id: uuid.UUID | None
    user_id: str | None


@dataclass(frozen=True, slots=True)
class NewManifest:
    """A manifest that takes the place of the one with `old_sha256`. The contents are those of the whole set."""

    set_id: uuid.UUID
    event: EventName
    old_sha256: bytes
    sha256: bytes
    version: int
    contents: Contents


class PostgresSets:
    """The registry of sets. Every change is one transaction, and keys that a set needs are not destroyed."""

    def __init__(self, database: Database, declaration: Declaration) -> None:
        self._database = database
        self._fields = declaration.fields_of_values
        self._digest = digest_of(declaration)

    def vault_id(self) -> uuid.UUID:
        """Return the id of the vault, which each manifest and part names."""
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["vault_id"])
            ((vault_id,),) = cursor.fetchall()
        return uuid.UUID(str(vault_id))

    @retried_for_locks(tries=_TRIES)
    def begin(self, event: EventName, location: str) -> uuid.UUID:
        """Register a set that is to be written, and return its id; for the role ingest.

        A set that was begun at this place, and is not finished, keeps its id. Raises UsageError if a finished set, one
        of another event, or the archive of a month is there.
        """
        values = {"event": event, "location": location, "declaration": self._digest}
        (set_id,) = self._database.call(_SQL["begin"], values)
        if set_id is None:
            message = f"another set of this vault is at {location}"
            raise UsageError(
                message, hint="name a place of its own; `vault-etl lake list` shows the sets"
            )
        return uuid.UUID(str(set_id))

    @retried_for_locks(tries=_TRIES)
    def record(
        self,
        set_id: uuid.UUID,
        event: EventName,
        rows: int,
        keys: Iterable[KeyCount],
        generations: Iterable[GenerationCount],
        manifest_sha256: bytes | None = None,
    ) -> None:
        """Record how far a set is written, or with its manifest that it is finished; for the role ingest.

        The counts are those of all rows so far: their keys are needed from here on. A second call with the same
        manifest changes nothing. Raises IncompleteError if the set is finished with another manifest, or is not on
        the record, or if a key of its values is destroyed or missing.
        """
        values = {
            "set_id": set_id,
            "manifest_sha256": manifest_sha256,
            "rows": rows,
            "counts": self._counts(event, keys, generations),
        }
        try:
            self._database.call(_SQL["record"], values)
        except (RateLimitedError, StoppedError):
            raise
        except IncompleteError:
            message = "the set is not being written any more, or a key of its values was destroyed meanwhile"
            raise IncompleteError(
                message,
                hint="`vault-etl lake list` shows the sets; otherwise seal it again at another place",
            ) from None

    def recorded(self) -> Sequence[RecordedSet]:
        """Return the sets, and the archives of months unless this login may only ingest."""
        with self._database.transaction() as cursor:
            return read_recorded(cursor)

    def pending(self, recorded: RecordedSet) -> Sequence[PendingErasure]:
        """Return the erasures that a set lacks, the oldest first; for the role erase."""
        values = {"set_id": recorded.set_id, "manifest_sha256": recorded.manifest_sha256}
        with self._database.transaction() as cursor:
            return [PendingErasure(*row) for row in rows_of(cursor, _SQL["pending"], values)]

    @retried_for_locks(tries=_TRIES)
    def rotated(self, receipt: AuditReceipt, new: NewManifest) -> Head:
        """Record the new manifest of a set with the outcome of the intent to rotate it; for the role re-encrypt.

        Return the head after the outcome. Raises IncompleteError if another manifest is on the record.
        """
        request = receipt.request
        values = {
            **self._values(request, new),
            "fields": sorted(request.fields),
            "purpose": request.purpose,
        }
        return self._replace(_SQL["rotated"], values)

    @retried_for_locks(tries=_TRIES)
    def erased(
        self, request: AuditRequest, new: NewManifest, erasures: Iterable[int], rows: int
    ) -> Head:
        """Record a set in which `rows` rows were erased, and end these erasures, with both entries; for the role erase.

        The manifest stays the same if the set has no such row. Return the head after the outcome. Raises
        IncompleteError if another manifest is on the record.
        """
        values = {
            **self._values(request, new),
            "reason": request.reason,
            "erasures": list(erasures),
            "rows": rows,
        }
        return self._replace(_SQL["erased"], values)

    def _replace(self, call: str, values: dict[str, object]) -> Head:
        try:
            seq, entry_hash, *_ = self._database.call(call, values)
        except (RateLimitedError, StoppedError):
            raise
        except IncompleteError:
            message = "another manifest of this set is on the record, or a key of its values was destroyed"
            raise IncompleteError(
                message, hint="another process may have changed the set: run the command again"
            ) from None
        return Head(seq, bytes(entry_hash))

    def _values(self, request: AuditRequest, new: NewManifest) -> dict[str, object]:
        return {
            "request_id": request.request_id,
            "actor": request.actor,
            "host": request.host,
            "ticket": request.ticket,
            "set_id": new.set_id,
            "old_sha256": new.old_sha256,
            "manifest_sha256": new.sha256,
            "number": new.version,
            "counts": self._counts(new.event, new.contents.keys, new.contents.generations),
        }

    def _counts(
        self, event: EventName, keys: Iterable[KeyCount], generations: Iterable[GenerationCount]
    ) -> str:
        """Return the counts as `lake_count` takes them: of the fields that keys are of, not of names of values."""
        fields = self._fields[event]
        counts: list[dict[str, object]] = [
            {"field": fields[key.field], "id": key.key_id, "held": key.values} for key in keys
        ]
        counts += [
            {"field": "token", "id": each.generation, "held": each.rows} for each in generations
        ]
        return json.dumps(counts)


def read_recorded(cursor: psycopg2.extensions.cursor) -> Sequence[RecordedSet]:
    """Read what `PostgresSets.recorded` returns."""
    cursor.execute(_SQL["list"])
    return [
        RecordedSet(event, location, None if digest is None else bytes(digest), *rest)
        for event, location, digest, *rest in cursor.fetchall()
    ]
