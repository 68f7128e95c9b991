"""Reveal many records one by one: what one of them lacks does not stop the others."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence

from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.policy import Quota
from vault_etl.base.errors import (
    DataError,
    DeniedError,
    IntegrityError,
    MonthAwayError,
    NotFoundError,
    UnusableKeyError,
    VaultEtlError,
)
from vault_etl.reveal.reveal import Revealed

OfOneRecord = NotFoundError | IntegrityError | UnusableKeyError
"""What says nothing of the other records of a batch."""


def must_be_within_quota(looks: int, quota: Quota, *, fewer: str) -> None:
    """Raise DeniedError before the first of these looks, if the quota has some left but not as many.

    Without any left, or for one look, the database decides, and its denial is on the record. `fewer`
    says what asks for fewer.
    """
    if looks == 1 or not 0 < quota.left < looks:
        return
    message = f"the quota has {quota.left} looks left, and these are {looks}"
    when = f"all are there again at {quota.reset_at:%Y-%m-%dT%H:%M:%SZ}; " if quota.used else ""
    raise DeniedError(message, hint=f"{when}{fewer}; nothing was looked at")


class RevealBatch:
    """Reveals records in their order, and remembers what some of them lack."""

    def __init__(self, reveal: Callable[[AuditRequest], Revealed]) -> None:
        self._reveal = reveal
        self.failed: list[tuple[uuid.UUID | None, OfOneRecord]] = []

    def run(
        self, requests: Sequence[AuditRequest], tell: Callable[[uuid.UUID | None, str], None]
    ) -> Iterator[Revealed]:
        """Each record that there is and that opens; `tell` names the others as they come.

        Raises what a reveal raises for any other reason, such as a denial: then the rest is left.
        """
        for request in requests:
            try:
                revealed = self._reveal(request)
            except (NotFoundError, IntegrityError, UnusableKeyError) as error:
                self.failed.append((request.record_id, error))
                if len(requests) > 1:
                    tell(request.record_id, str(error))
                continue
            yield revealed

    def complain(self, asked: int) -> None:
        """Raise for the records that were not revealed, after the others are done.

        The error of a single record is its own. Of many it is a DataError if a value does not open,
        else a NotFoundError.
        """
        if not self.failed:
            return
        if asked == 1:
            raise self.failed[0][1]
        away = sum(isinstance(error, MonthAwayError) for _, error in self.failed)
        absent = sum(isinstance(error, NotFoundError) for _, error in self.failed)
        kind: type[VaultEtlError] = NotFoundError if absent == len(self.failed) else DataError
        parts = {
            "are not there": absent - away,
            "are of months that are not in the table": away,
            "do not open": len(self.failed) - absent,
        }
        some = " and ".join(f"{count} {what}" for what, count in parts.items() if count)
        message = f"of {asked} records {some}"
        raise kind(message, hint="each is named in a warning; the others are done")
