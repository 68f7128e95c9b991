"""Collect what is stored of one user, on the record: records, quarantined messages, and entries about both."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest
from vault_etl.audit.log import AuditEntry, EntriesAboutRecord, LastTrimmed
from vault_etl.audit.policy import Quota
from vault_etl.base.errors import NotFoundError
from vault_etl.crypto.fields import PERSONAL_FIELDS, Field
from vault_etl.platform.clock import Progress
from vault_etl.quarantine.read import QuarantinedRow, ShownMessage
from vault_etl.reveal.find import UserRecords
from vault_etl.reveal.reveal import RevealBatch, Revealed, must_be_within_quota
from vault_etl.subject.names_user import Match, match_of


@dataclass(frozen=True, slots=True)
class Looks:
    """What looks at things one by one, each against an intent of its own."""

    find_user: Callable[[AuditRequest, str], tuple[UserRecords, AuditReceipt]]
    reveal: Callable[[AuditRequest], Revealed]
    show: Callable[[AuditRequest], ShownMessage]
    about: EntriesAboutRecord


@dataclass(slots=True)
class LookedThrough:
    """How many quarantined messages were opened, and how many of them name the user."""

    opened: int = 0
    erased: int = 0
    in_quarantine: int = 0
    first: dt.datetime | None = None
    last: dt.datetime | None = None
    named: int = 0


class ExportSubject:
    """One look for the records of a user, one at each quarantined message, one at each record."""

    def __init__(self, looks: Looks, request: AuditRequest, progress: Progress) -> None:
        """`request` says who asks and why; each look is the same under an id of its own."""
        self._looks = looks
        self._request = request
        self._progress = progress
        self.batch = RevealBatch(looks.reveal)

    def records_of(self, user_id: str) -> UserRecords:
        """The user's records, without what is sealed of them."""
        found, _ = self._looks.find_user(self._of(Action.FIND), user_id)
        return found

    def last_trimmed(self) -> LastTrimmed | None:
        """What of the log was not looked through, since it is in segments."""
        return self._looks.about.last_trimmed()

    def must_be_within(self, quota: Quota, records: int, messages: int) -> None:
        """Raise DeniedError if the quota has some looks left, and not as many as these."""
        fewer = f"{records} are of records: --messages takes fewer of the others"
        must_be_within_quota(records + messages, quota, fewer=fewer)

    def messages(
        self, user_id: str, rows: Sequence[QuarantinedRow], through: LookedThrough
    ) -> Iterator[tuple[ShownMessage, Match, Sequence[AuditEntry]]]:
        """Open these quarantined messages; each that names the user, and the entries of the log about it.

        One that went meanwhile is passed over. Counted in `through`; one body is held at a time.
        """
        for row in rows:
            try:
                shown = self._looks.show(self._of(Action.QUARANTINE_SHOW, row.record_id))
            except NotFoundError:
                continue
            through.opened += 1
            through.erased += shown.body is None
            through.first = min(through.first or row.quarantined_at, row.quarantined_at)
            through.last = max(through.last or row.quarantined_at, row.quarantined_at)
            match = None if shown.body is None else match_of(shown.body.expose(), user_id)
            if match is not None:
                through.named += 1
                yield shown, match, self._looks.about.entries_about(shown.receipt)
            self._progress.advance(1)

    def records(
        self, record_ids: Sequence[uuid.UUID], tell: Callable[[uuid.UUID | None, str], None]
    ) -> Iterator[tuple[Revealed, Sequence[AuditEntry]]]:
        """Each record, and the entries of the log about it. What does not open is told, and in `batch.failed`."""
        requests = [self._of(Action.REVEAL, record_id) for record_id in record_ids]
        for revealed in self.batch.run(requests, tell):
            yield revealed, self._looks.about.entries_about(revealed.receipt)
            self._progress.advance(1)

    def _of(self, action: Action, record_id: uuid.UUID | None = None) -> AuditRequest:
        fields = {Action.REVEAL: PERSONAL_FIELDS, Action.QUARANTINE_SHOW: (Field.QUARANTINE,)}
        return replace(
            self._request,
            request_id=uuid.uuid4(),
            action=action,
            record_id=record_id,
            fields=fields.get(action, ()),
        )
