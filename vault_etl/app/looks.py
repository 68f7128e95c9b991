"""For whoever looks for, at, or after stored values."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from vault_etl.app.parts import Parts, keep_checkpoint
from vault_etl.audit.checkpoint import Checkpoint
from vault_etl.audit.checkpoints import SigningKey
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.kms import KmsHeadSigner
from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints
from vault_etl.audit.signed_log import signature_of
from vault_etl.erase.erase import Erase
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.platform.clock import Progress
from vault_etl.quarantine.discard import DiscardQuarantine
from vault_etl.quarantine.postgres import (
    PostgresQuarantineDiscarder,
    PostgresQuarantineMover,
    PostgresQuarantineReader,
)
from vault_etl.quarantine.read import QuarantineReader, ShowQuarantined
from vault_etl.quarantine.retry import QuarantineRetry
from vault_etl.records.postgres import PostgresMonths, PostgresRecordLoader
from vault_etl.records.unattached_months import Months
from vault_etl.reveal.duplicates import DuplicateFinder
from vault_etl.reveal.find import Find, FindUser
from vault_etl.reveal.postgres import (
    PostgresDuplicateFinder,
    PostgresEntriesAboutRecord,
    PostgresRecordFinder,
    PostgresReleasedValues,
)
from vault_etl.reveal.reveal import Reveal
from vault_etl.reveal.tokens import MakeTokens
from vault_etl.subject.export import ExportSubject, Looks


class LooksProgram(Parts):
    """What `reveal`, `find`, `tokens`, `erase`, `duplicates` and `quarantine` need."""

    def reveal(
        self, request_id: uuid.UUID, keep: Callable[[Checkpoint], None] | None = None
    ) -> Reveal:
        """For one reveal: KMS is asked anew, with the request id in the user agent."""
        values = PostgresReleasedValues(self._database)
        log = self.audit_log(request_id, keep)
        return Reveal(log, values, self._ring(request_id), self.months())

    def months(self) -> Months:
        """Which months no look at the table sees, by the server that it reads."""
        return PostgresMonths(self._reads)

    def find(self, request_id: uuid.UUID) -> Find:
        """For `find`: as for a reveal."""
        finder = PostgresRecordFinder(self._database)
        return Find(self.audit_log(request_id), finder, self._ring(request_id))

    def find_user(
        self, request_id: uuid.UUID, keep: Callable[[Checkpoint], None] | None = None
    ) -> FindUser:
        """For `--user-id`."""
        return FindUser(self.audit_log(request_id, keep), PostgresRecordFinder(self._database))

    def export_subject(
        self, request: AuditRequest, progress: Progress, keep: Callable[[Checkpoint], None]
    ) -> ExportSubject:
        """For `subject export`: each look as the command of its own makes it."""
        looks = Looks(
            find_user=lambda asked, user: self.find_user(asked.request_id, keep)(asked, user),
            reveal=lambda asked: self.reveal(asked.request_id, keep)(asked),
            show=lambda asked: self.show_quarantined(asked.request_id, keep)(asked),
            about=PostgresEntriesAboutRecord(self._database),
        )
        return ExportSubject(looks, request, progress)

    def sign_text(self, text: str) -> tuple[SigningKey, bytes]:
        """Sign a text with the key of the audit log: the key, and the signature in DER.

        It must not begin as a checkpoint or a registration does, for which the same key signs.
        """
        signer = KmsHeadSigner(self._aws.kms(), self._settings.audit_key)
        keys = PostgresCheckpoints(self._database).registered_keys()
        return signature_of(text, signer, keys)

    def make_tokens(self, request_id: uuid.UUID) -> MakeTokens:
        """For `tokens`: KMS is asked for the field's token keys alone."""
        return MakeTokens(self.audit_log(request_id), self._ring(request_id))

    def erase(self, request_id: uuid.UUID) -> Erase:
        """For `erase`."""
        signer = KmsHeadSigner(self._aws.kms(request_id), self._settings.audit_key)
        checkpoints = PostgresCheckpoints(self._database)
        eraser = PostgresEraser(self._database)
        return Erase(eraser, checkpoints, signer, keep_checkpoint, self.months())

    def quarantine_reader(self) -> QuarantineReader:
        """For `quarantine list`, and for the question before a retry."""
        return PostgresQuarantineReader(self._reads)

    def discard_quarantine(self, progress: Progress, request_id: uuid.UUID) -> DiscardQuarantine:
        """For `quarantine discard`."""
        return DiscardQuarantine(
            PostgresQuarantineDiscarder(self._database),
            PostgresCheckpoints(self._database),
            KmsHeadSigner(self._aws.kms(request_id), self._settings.audit_key),
            keep_checkpoint,
            progress,
        )

    def show_quarantined(
        self, request_id: uuid.UUID, keep: Callable[[Checkpoint], None] | None = None
    ) -> ShowQuarantined:
        """For `quarantine show`: KMS is asked anew, with the request id in the user agent."""
        return ShowQuarantined(
            self.audit_log(request_id, keep),
            PostgresReleasedValues(self._database),
            self.quarantine_reader(),
            self._ring(request_id),
        )

    def quarantine_retry(self, progress: Progress, request_id: uuid.UUID) -> QuarantineRetry:
        """For `quarantine retry`."""
        ring = self._ring(request_id)
        return QuarantineRetry(
            audit=self.audit_log(request_id),
            mover=PostgresQuarantineMover(self._database),
            partitions=PostgresRecordLoader(self._database),
            ring=ring,
            old=self._old_keys(ring, request_id),
            leases=self._leases(),
            clock=self._clock,
            progress=progress,
            months=self.months(),
        )

    def duplicate_finder(self) -> DuplicateFinder:
        """For `duplicates`."""
        return PostgresDuplicateFinder(self._reads)
