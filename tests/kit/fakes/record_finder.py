"""Look-ups by token, in memory."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator, Sequence

from typing_extensions import override

from tests.kit.fakes.audit_log import FakeAuditLog
from tests.kit.fakes.database import FakeDatabase
from tests.kit.login_records import column
from vault_etl.audit.entries import Action, AuditReceipt
from vault_etl.base.errors import DeniedError
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import KeyState
from vault_etl.records.messages import SealedRecord
from vault_etl.reveal.duplicates import DuplicateFinder, SharedToken, SharedTokenQuery
from vault_etl.reveal.find import (
    MAX_HOLDERS,
    RecordFinder,
    TokenHolder,
    TokenHolders,
    UserRecord,
    UserRecords,
)


class FakeRecordFinder(RecordFinder, DuplicateFinder):
    """`RecordFinder` and `DuplicateFinder` in memory."""

    def __init__(self, database: FakeDatabase, login: str = "fake") -> None:
        self._database = database
        self._audit = FakeAuditLog(database, login)

    @override
    def holding(
        self, receipt: AuditReceipt, tokens: Sequence[uuid.UUID], limit: int
    ) -> Sequence[TokenHolders]:
        (name,) = self._audit.use(receipt, Action.FIND).fields
        field = FieldName(name)
        keys = [k for k in self._database.keys.values() if k.field == field and k.generation]
        amount = receipt.request.amount or 1
        each, rest = divmod(len(tokens), amount)
        if rest or each > sum(key.state is not KeyState.DESTROYED for key in keys):
            raise DeniedError("the tokens do not fit the values and the field of the intent")
        values = (tokens[at : at + each] for at in range(0, len(tokens), each))
        return [self.holders(field, value, limit) for value in values]

    @override
    def of_user(self, receipt: AuditReceipt, user_id: str) -> UserRecords:
        if self._audit.use(receipt, Action.FIND).fields:
            raise DeniedError("this intent finds values, not a user")
        mine = [
            UserRecord(
                record.event,
                record.record_id,
                column(record, "create_date"),
                column(record, "event_time"),
                {name: column(record, name) for name in ("device_type", "locale", "app_version")},
            )
            for record in self._database.records.values()
            if record.subject == user_id
        ]
        return UserRecords(
            len(mine), sorted(mine, key=lambda holder: holder.record_id, reverse=True)
        )

    def holders(self, field: FieldName, tokens: Sequence[uuid.UUID], limit: int) -> TokenHolders:
        """The same without an entry, for a test that looks behind the log."""
        days = {event.name: event.day for event in self._database.declaration.events}
        holding = [
            TokenHolder(
                record.event,
                record.record_id,
                record.subject,
                column(record, days[record.event].name),
                column(record, days[record.event].moment or ""),
            )
            for record in self._database.records.values()
            if {record.tokens.get(field), (record.next_tokens or {}).get(field)} & set(tokens)
        ]
        newest = sorted(holding, key=lambda holder: holder.record_id, reverse=True)
        return TokenHolders(len(holding), newest[: min(limit, MAX_HOLDERS)])

    @override
    def records(self, query: SharedTokenQuery) -> int:
        return len(self._database.records)

    @override
    def shared_tokens(self, query: SharedTokenQuery) -> Iterator[SharedToken]:
        by_token: dict[uuid.UUID, list[SealedRecord]] = {}
        for record in self._database.records.values():
            token = record.tokens.get(query.field)
            if (
                token is not None
                and token not in query.leave_out
                and (query.since is None or column(record, "create_date") >= query.since)
                and (query.until is None or column(record, "create_date") <= query.until)
            ):
                by_token.setdefault(token, []).append(record)
        shared = [_shared(token, records) for token, records in by_token.items()]
        wanted = [s for s in shared if s.count >= query.min_count and s.users >= query.min_users]
        wanted.sort(key=lambda s: (-s.count, s.token))
        return itertools.islice(wanted, query.limit)


def _shared(token: uuid.UUID, records: Sequence[SealedRecord]) -> SharedToken:
    days = [column(record, "create_date") for record in records]
    users = {record.subject for record in records}
    return SharedToken(token, len(records), len(users), min(days), max(days))
