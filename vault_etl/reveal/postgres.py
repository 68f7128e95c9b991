"""The values of records on Postgres, and the entries about them, for the role reveal: each against an audit entry."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from typing_extensions import override

from vault_etl.audit.entries import AuditReceipt
from vault_etl.audit.log import AuditEntry, EntriesAboutRecord, LastTrimmed
from vault_etl.audit.opening import DisclosedValue, DisclosedValues
from vault_etl.audit.postgres import entry_of, last_trimmed
from vault_etl.crypto.fields import EventName, FieldName
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("reveal/reveal.sql")


class PostgresDisclosedValues(DisclosedValues):
    """Gets the values that a committed intent discloses, for the role reveal, which may not read the table."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def disclose(self, receipt: AuditReceipt) -> Mapping[str, DisclosedValue]:
        with self._database.transaction() as cursor:
            cursor.execute(_SQL["disclose"], {"seq": receipt.seq})
            return {
                name: DisclosedValue(
                    EventName(event),
                    FieldName(field),
                    None if stored is None else bytes(stored),
                    subject,
                    day,
                    tuple(tokens or ()),
                    generation,
                )
                for event, name, field, stored, subject, day, tokens, generation in cursor
            }


class PostgresEntriesAboutRecord(EntriesAboutRecord):
    """Reads the audit entries about a record, for the role reveal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @override
    def entries_about(self, receipt: AuditReceipt) -> Sequence[AuditEntry]:
        entries = list[AuditEntry]()
        while True:
            after = entries[-1].seq if entries else 0
            with self._database.transaction() as cursor:
                cursor.execute(_SQL["about"], {"seq": receipt.seq, "after": after})
                found = [entry_of(row) for row in cursor.fetchall()]
            if not found:
                return entries
            entries += found

    @override
    def last_trimmed(self) -> LastTrimmed | None:
        return last_trimmed(self._database)
