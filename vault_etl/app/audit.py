"""For `audit`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

from vault_etl.app.archives import archive_at
from vault_etl.app.parts import Parts, keep_checkpoint
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.kms import KmsHeadSigner
from vault_etl.audit.log import AuditReader
from vault_etl.audit.postgres import (
    PostgresAuditReader,
)
from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints, PostgresKeyRegistry
from vault_etl.audit.postgres_policy import PostgresPolicy
from vault_etl.audit.postgres_proof import PostgresProver
from vault_etl.audit.segments.export import LogExporter
from vault_etl.audit.segments.files import SegmentFiles
from vault_etl.audit.segments.manifest import Manifest
from vault_etl.audit.segments.postgres import PostgresTrimmer
from vault_etl.audit.segments.trim import TrimLog, Trimmed
from vault_etl.audit.segments.verify import verify_segments
from vault_etl.audit.sign_head import Checkpointer
from vault_etl.audit.signing_key import AuditKey
from vault_etl.audit.verify_log import Proof, verify_log
from vault_etl.audit.verify_notes import KeptNote, refuse_newer
from vault_etl.platform.clock import Progress


class AuditProgram(Parts):
    """What `audit` needs."""

    def audit_reader(self) -> AuditReader:
        """For `audit list`."""
        return PostgresAuditReader(self._reads)

    def verify_log(
        self, keys: Sequence[AuditKey], kept: Sequence[KeptNote], places: Sequence[str] = ()
    ) -> Proof:
        """Run `audit verify`, with the key that KMS names if none is given."""
        given = [segment for place in places for segment in self._segments(place).segments()]
        known = self._known(keys)
        with PostgresProver(self._reads).snapshot() as snapshot:
            if self.source is not None and self.source.may_lack:
                refuse_newer(snapshot, kept)
            return verify_log(snapshot, known, kept, given)

    def verify_segments(
        self, keys: Sequence[AuditKey], kept: Sequence[KeptNote], places: Sequence[str]
    ) -> Proof:
        """Run `audit verify --offline`."""
        given = [segment for place in places for segment in self._segments(place).segments()]
        given.sort(key=lambda segment: segment.manifest.first)
        return verify_segments(given, self._known(keys), kept)

    def export_log(
        self, keys: Sequence[AuditKey], place: str, until: dt.datetime, progress: Progress
    ) -> Sequence[Manifest]:
        """Run `audit export`."""
        known = self._known(keys)
        with PostgresProver(self._database).snapshot() as snapshot:
            return LogExporter(snapshot, known, self._segments(place), progress)(until)

    def trim_log(
        self,
        keys: Sequence[AuditKey],
        place: str,
        before: dt.datetime,
        request: Callable[[], AuditRequest] | None,
        progress: Progress,
    ) -> Iterator[Trimmed]:
        """Run `audit trim`, as the owner's login."""
        trim = TrimLog(PostgresTrimmer(self._database), self._known(keys), progress)
        return trim(self._segments(place).segments(), before, request)

    def _known(self, keys: Sequence[AuditKey]) -> Sequence[AuditKey]:
        return keys or [self._public_key.signing_key().key]

    def _segments(self, place: str) -> SegmentFiles:
        return SegmentFiles(archive_at(place, lambda: self._aws))

    def policy(self) -> PostgresPolicy:
        """For `audit policy`."""
        return PostgresPolicy(self._database)

    def checkpoints(self) -> Checkpointer:
        """For `audit checkpoint`."""
        return Checkpointer(
            registry=PostgresKeyRegistry(self._database),
            checkpoints=PostgresCheckpoints(self._database),
            public_key=self._public_key,
            signer=KmsHeadSigner(self._aws.kms(), self._settings.audit_key),
            identity=self.identity(),
            keep=keep_checkpoint,
        )
