"""Export the stored data of one user, audited: records, quarantined messages, and the entries about both."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditEntry, EntriesAboutRecord, LastTrimmed
from vault_etl.audit.policy import Quota
from vault_etl.base.errors import NotFoundError
from vault_etl.crypto.fields import QUARANTINE, FieldName
from vault_etl.platform.clock import Progress
from vault_etl.quarantine.read import QuarantinedRow, ShownMessage
from vault_etl.reveal.find import UserRecords
from vault_etl.reveal.reveal import RevealBatch, Revealed, must_be_within_quota
from vault_etl.subject.names_user import Match, match_of


@dataclass(frozen=True, slots=True)
class AccessServices:
    """The services of the accesses of an export. Each access has its own intent in the log."""

    find_user: Callable[[AuditRequest, str], tuple[UserRecords, AuditReceipt]]
    reveal: Callable[[AuditRequest], Revealed]
    show: Callable[[AuditRequest], ShownMessage]
    about: EntriesAboutRecord


@dataclass(slots=True)
class SearchedMessages:
    """Counts of quarantined messages (opened, erased, in quarantine, naming the user), and their time span."""

    opened: int = 0
    erased: int = 0
    in_quarantine: int = 0
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    named: int = 0


class ExportSubject:
    """Accesses the data of a user: one access to search the records, one for each message, one for each record."""

    def __init__(
        self,
        services: AccessServices,
        request: AuditRequest,
        progress: Progress,
        fields: tuple[FieldName, ...],
    ) -> None:
        """Take the request with the caller and reason, and all fields of the vault.

        Each access has the same request with its own request id.
        """
        self._services = services
        self._request = request
        self._progress = progress
        self._fields = fields
        self.batch = RevealBatch(services.reveal)

    def records_of(self, user_id: str) -> UserRecords:
        """Find the user's records, without their sealed values."""
        found, _ = self._services.find_user(self._of(Action.FIND), user_id)
        return found

    def last_trimmed(self) -> LastTrimmed | None:
        """The last entry that moved from the log to segments, which are not searched; None without segments."""
        return self._services.about.last_trimmed()

    def must_be_within(self, quota: Quota, records: int, messages: int) -> None:
        """Raise DeniedError if the quota has accesses left, but fewer than these records and messages need."""
        fewer = f"{records} are of records: --messages takes fewer quarantined messages"
        must_be_within_quota(records + messages, quota, fewer=fewer)

    def messages(
        self, user_id: str, rows: Sequence[QuarantinedRow], through: SearchedMessages
    ) -> Iterator[tuple[ShownMessage, Match, Sequence[AuditEntry]]]:
        """Open quarantined messages, and yield those that name the user, with the log's entries about them.

        Messages that were moved or deleted meanwhile are skipped. `through` counts the messages. One body is in
        memory at a time.
        """
        for row in rows:
            try:
                shown = self._services.show(self._of(Action.QUARANTINE_SHOW, row.record_id))
            except NotFoundError:
                continue
            through.opened += 1
            through.erased += shown.body is None
            through.first = min(through.first or row.quarantined_at, row.quarantined_at)
            through.last = max(through.last or row.quarantined_at, row.quarantined_at)
            match = None if shown.body is None else match_of(shown.body.expose(), user_id)
            if match is not None:
                through.named += 1
                yield shown, match, self._services.about.entries_about(shown.receipt)
            self._progress.advance(1)

    def records(
        self, record_ids: Sequence[uuid.UUID], tell: Callable[[uuid.UUID | None, str], None]
    ) -> Iterator[tuple[Revealed, Sequence[AuditEntry]]]:
        """Reveal records, and yield each with the log's entries about it. `tell` and `batch.failed` get failures."""
        requests = [self._of(Action.REVEAL, record_id) for record_id in record_ids]
        for revealed in self.batch.run(requests, tell):
            yield revealed, self._services.about.entries_about(revealed.receipt)
            self._progress.advance(1)

    def _of(self, action: Action, record_id: uuid.UUID | None = None) -> AuditRequest:
        fields = {Action.REVEAL: self._fields, Action.QUARANTINE_SHOW: (QUARANTINE,)}
        return replace(
            self._request,
            request_id=uuid.uuid4(),
            action=action,
            record_id=record_id,
            fields=fields.get(action, ()),
        )
