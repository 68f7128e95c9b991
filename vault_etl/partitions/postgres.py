"""The months of the events on Postgres, for the owner: each change is committed with its audit entries."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, Final

import psycopg2.extensions
from psycopg2 import sql

from vault_etl.audit.entries import AuditRequest, Decision, Phase
from vault_etl.audit.postgres_owner import as_owner, write, write_both
from vault_etl.base.errors import IncompleteError, UsageError, VaultEtlError
from vault_etl.crypto.fields import EventName
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_statement_errors import (
    LockTimeoutError,
    ValueRefusedError,
    retried_for_locks,
)
from vault_etl.platform.resources import blocks
from vault_etl.records.months import Archive, Partition, PartitionState

_SQL: Final = blocks("partitions/partitions.sql")

_OWNER: Final = "vault_etl_owner"
_LISTEN_S: Final = 0.2
"""Seconds between two checks for a signal."""

_TRIES: Final = 5
"""Each try waits two seconds for a lock."""

_DETACH: Final = sql.SQL("ALTER TABLE vault_etl.{} DETACH PARTITION vault_etl.{} {}")


class PostgresPartitions:
    """The partitions of all events, for a login that may act as the owner."""

    def __init__(self, database: Database, wait_s: float) -> None:
        self._database = database
        self._wait_s = wait_s

    def partitions(self) -> Sequence[Partition]:
        """Return every partition in any state, also those that are archived or dropped, the oldest first."""
        with self._owner() as cursor:
            cursor.execute(_SQL["list"])
            return [_partition(row) for row in cursor.fetchall()]

    @retried_for_locks(tries=_TRIES)
    def ensure(
        self, request: AuditRequest, event: EventName, month: dt.date, *, reopen: bool
    ) -> str | None:
        """Make the partition of a month of an event; with `reopen`, let a dropped month take rows again.

        Return its name, or None if the month is closed. A change is on the record. Raises UsageError for a month
        that is too far in the past or future.
        """
        values = {"event": event, "day": month}
        try:
            with self._owner() as cursor:
                reopened = False
                if reopen:
                    cursor.execute(_SQL["reopen"], values)
                    ((reopened,),) = cursor.fetchall()
                cursor.execute(_SQL["list"])
                before = {
                    name for _, name, _, _, state, *_ in cursor.fetchall() if state != "dropped"
                }
                cursor.execute(_SQL["ensure"], values)
                ((name,),) = cursor.fetchall()
                if name is not None and (reopened or name not in before):
                    write_both(cursor, request, f"{name} is made{' again' if reopened else ''}")
        except ValueRefusedError:
            message = f"{month:%Y-%m} is too far away: partitions are made from 24 months back to 3 months ahead"
            raise UsageError(message, hint="leave this month out") from None
        return None if name is None else str(name)

    def detach(self, request: AuditRequest, partition: Partition) -> None:
        """Close the month and take it out of the table; continue where an earlier try was interrupted.

        Loaders and queries continue meanwhile. Raises IncompleteError if a transaction that uses the table does
        not end within `wait_s` seconds.
        """
        named = _named(partition)
        with self._owner() as cursor:
            cursor.execute(_SQL["close"], named)
            write(cursor, request, Phase.INTENT, Decision.ALLOWED, request.reason)
        try:
            if partition.state is not PartitionState.DETACHED:
                self._take_out(partition)
            self._finish_detach(request, partition)
        except (VaultEtlError, KeyboardInterrupt) as error:
            self._failed(request, partition)
            if isinstance(error, LockTimeoutError):
                message = f"a transaction that uses the table did not end in {self._wait_s:g} s"
                raise IncompleteError(
                    message,
                    hint="run the command again, with a longer --wait: it continues from there",
                ) from None
            raise

    def _take_out(self, partition: Partition) -> None:
        """Detach the partition, outside of a transaction, as CONCURRENTLY requires.

        PostgreSQL refuses CONCURRENTLY for a table that has a default partition.
        """
        how = "CONCURRENTLY"
        if partition.state is PartitionState.DETACHING:
            how = "FINALIZE"
        else:
            with self._owner() as cursor:
                cursor.execute(_SQL["has_default"], _named(partition))
                if cursor.fetchall() == [(True,)]:
                    how = ""
        names = sql.Identifier(partition.event), sql.Identifier(partition.name)
        statement = _DETACH.format(*names, sql.SQL(how))
        with self._database.session(_OWNER), ThreadPoolExecutor(1) as pool:
            running = pool.submit(self._database.alone, statement, lock_timeout_s=self._wait_s)
            try:
                while not wait([running], _LISTEN_S).done:
                    pass  # Python handles no signal while psycopg2 waits, so a thread waits instead
            except BaseException:
                while not wait([running], _LISTEN_S).done:
                    self._database.cancel()
                raise
            running.result()

    @retried_for_locks(tries=_TRIES)
    def _finish_detach(self, request: AuditRequest, partition: Partition) -> None:
        with self._owner() as cursor:
            cursor.execute(_SQL["detach"], _named(partition))
            text = f"{partition.name} is detached: {_size(partition)}"
            write(cursor, request, Phase.OUTCOME, Decision.DONE, text)

    def _failed(self, request: AuditRequest, partition: Partition) -> None:
        """Write the failed outcome to the log; open the month again if it is still attached."""
        with contextlib.suppress(VaultEtlError), self._owner() as cursor:
            cursor.execute(_SQL["list"])
            states = {name: state for _, name, _, _, state, *_ in cursor.fetchall()}
            if states.get(partition.name) == PartitionState.ATTACHED:
                cursor.execute(_SQL["open"], _named(partition))
            text = f"{partition.name} is {states.get(partition.name)}"
            write(cursor, request, Phase.OUTCOME, Decision.FAILED, text, "interrupted")

    def misfits(self, partition: Partition) -> Sequence[str]:
        """Return, in words, the reasons why a detached month cannot be attached; empty if it can. Reads every row."""
        with self._owner() as cursor:
            cursor.execute(_SQL["misfits"], _named(partition))
            return [line for (line,) in cursor.fetchall()]

    def attach(self, request: AuditRequest, partition: Partition) -> None:
        """Attach a detached month without misfits, and open it. The rows are read before any lock is taken."""
        with self._owner() as cursor:
            cursor.execute(_SQL["prepare"], _named(partition))
        self._attach(request, partition)

    @retried_for_locks(tries=_TRIES)
    def _attach(self, request: AuditRequest, partition: Partition) -> None:
        with self._owner() as cursor:
            cursor.execute(_SQL["attach"], _named(partition))
            write_both(cursor, request, f"{partition.name} is attached: {_size(partition)}")

    @retried_for_locks(tries=_TRIES)
    def drop(self, request: AuditRequest, partition: Partition) -> None:
        """Delete the table of a detached month, which stays closed. With an archive, its state is `archived` then.

        Raises IncompleteError if another archive was recorded meanwhile, or if the archive lacks rows of the month.
        """
        archive = partition.archive
        text = f"{partition.name} is dropped: {_size(partition)}"
        if archive is not None:
            text = f"{partition.name} is in its archive alone: manifest SHA-256 {archive.manifest_sha256.hex()}"
        sha256 = archive and archive.manifest_sha256
        with self._owner() as cursor:
            cursor.execute(_SQL["drop"], {**_named(partition), "manifest_sha256": sha256})
            write_both(cursor, request, text)

    def _owner(self) -> contextlib.AbstractContextManager[psycopg2.extensions.cursor]:
        return as_owner(self._database)


def _partition(row: Sequence[Any]) -> Partition:
    """Convert a row of the list."""
    event, name, first, until, state, rows, size, closed_at, location, sha256, *since = row
    archive = location and Archive(location, bytes(sha256), *since)
    return Partition(
        EventName(event), name, first, until, PartitionState(state), rows, size, closed_at, archive
    )


def _named(partition: Partition) -> dict[str, object]:
    return {
        "event": partition.event,
        "partition": partition.name,
        "first": partition.first,
        "end": partition.until,
    }


def _size(partition: Partition) -> str:
    rows = "not counted" if partition.rows is None else f"about {partition.rows}"
    return f"rows {rows}, bytes {partition.bytes}"
