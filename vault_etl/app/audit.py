"""Audit: the log that commands write, its verification, its segments, its policy and its checkpoints."""

from __future__ import annotations

import datetime as dt
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Self

from vault_etl.app.partitions import archive_at
from vault_etl.app.parts import Parts
from vault_etl.audit.aws import KmsHeadSigner, KmsPublicKey
from vault_etl.audit.checkpoint import AuditKey, Checkpoint
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.log import AuditReader
from vault_etl.audit.postgres import PostgresAuditLog, PostgresAuditReader
from vault_etl.audit.postgres_checkpoints import PostgresCheckpoints, PostgresKeyRegistry
from vault_etl.audit.postgres_owner import PostgresPolicy
from vault_etl.audit.postgres_proof import PostgresProver
from vault_etl.audit.proof import Proof
from vault_etl.audit.segments.export import LogExporter
from vault_etl.audit.segments.files import SegmentFiles
from vault_etl.audit.segments.postgres import PostgresTrimmer
from vault_etl.audit.segments.segment import SegmentManifest
from vault_etl.audit.segments.trim import TrimLog, Trimmed
from vault_etl.audit.segments.verify import verify_segments
from vault_etl.audit.signing import Checkpointer, SignedLog, SigningKey, signature_of
from vault_etl.audit.verify_log import verify_log
from vault_etl.audit.verify_notes import KeptNote, refuse_newer
from vault_etl.base import logs
from vault_etl.platform.clock import Progress

Keep = Callable[[Checkpoint], None]
"""Takes a signed head: `keep_checkpoint`, or a `LastCheckpoint`."""


def check_role(
    parts: Parts, *roles: str, requests: Callable[[], Iterable[AuditRequest]] = tuple
) -> None:
    """Raise DeniedError unless the database's login acts as one of these roles.

    `requests` are then logged as denied, if the login may write the log at all.
    """
    PostgresAuditLog(parts.database).check_role(*roles, requests=requests)


def audit_log(
    parts: Parts, request_id: uuid.UUID | None = None, keep: Keep | None = None
) -> SignedLog:
    """The log of an audited command: at its end the head is signed, stored and logged."""
    return SignedLog(
        PostgresAuditLog(parts.database),
        PostgresCheckpoints(parts.database),
        head_signer(parts, request_id),
        keep or keep_checkpoint,
    )


def head_signer(parts: Parts, request_id: uuid.UUID | None = None) -> KmsHeadSigner:
    """The audit key in KMS, which is asked with this request id in the user agent."""
    return KmsHeadSigner(parts.aws.kms(request_id), parts.settings.audit_key)


def public_key(parts: Parts) -> KmsPublicKey:
    """The public half of the audit key."""
    return KmsPublicKey(parts.aws.kms(), parts.settings.audit_key)


def sign_text(parts: Parts, text: str) -> tuple[SigningKey, bytes]:
    """Sign a text with the key of the audit log: the key, and the signature in DER.

    The text must not begin as a checkpoint or a registration does: the same key signs those.
    """
    keys = PostgresCheckpoints(parts.database).registered_keys()
    return signature_of(text, head_signer(parts), keys)


def reader(parts: Parts) -> AuditReader:
    """Build `audit list`."""
    return PostgresAuditReader(parts.reads)


def verify(
    parts: Parts, keys: Sequence[AuditKey], kept: Sequence[KeptNote], places: Sequence[str] = ()
) -> Proof:
    """Run `audit verify`. Without keys, the public key comes from KMS."""
    given = [segment for place in places for segment in _segments(parts, place).segments()]
    known = _known(parts, keys)
    with PostgresProver(parts.reads).snapshot() as snapshot:
        if parts.source is not None and parts.source.may_lack:
            refuse_newer(snapshot, kept)
        return verify_log(snapshot, known, kept, given)


def verify_offline(
    parts: Parts, keys: Sequence[AuditKey], kept: Sequence[KeptNote], places: Sequence[str]
) -> Proof:
    """Run `audit verify --offline`, which asks no database."""
    given = [segment for place in places for segment in _segments(parts, place).segments()]
    given.sort(key=lambda segment: segment.manifest.first)
    return verify_segments(given, _known(parts, keys), kept)


def export(
    parts: Parts, keys: Sequence[AuditKey], place: str, until: dt.datetime, progress: Progress
) -> Sequence[SegmentManifest]:
    """Run `audit export`."""
    known = _known(parts, keys)
    with PostgresProver(parts.database).snapshot() as snapshot:
        return LogExporter(snapshot, known, _segments(parts, place), progress)(until)


def trim(
    parts: Parts,
    keys: Sequence[AuditKey],
    place: str,
    before: dt.datetime,
    request: Callable[[], AuditRequest] | None,
    progress: Progress,
) -> Iterator[Trimmed]:
    """Run `audit trim`, as the owner's login."""
    run = TrimLog(PostgresTrimmer(parts.database), _known(parts, keys), progress)
    return run(_segments(parts, place).segments(), before, request)


def policy(parts: Parts) -> PostgresPolicy:
    """Build `audit policy`."""
    return PostgresPolicy(parts.database)


def checkpointer(parts: Parts) -> Checkpointer:
    """Build `audit checkpoint`."""
    return Checkpointer(
        registry=PostgresKeyRegistry(parts.database),
        checkpoints=PostgresCheckpoints(parts.database),
        public_key=public_key(parts),
        signer=head_signer(parts),
        identity=parts.identity,
        keep=keep_checkpoint,
    )


class LastCheckpoint:
    """Keeps the newest signed head of many accesses, which covers all before it, and logs it at their end."""

    def __init__(self) -> None:
        self.checkpoint: Checkpoint | None = None

    def __call__(self, checkpoint: Checkpoint) -> None:
        """Keep this checkpoint."""
        self.checkpoint = checkpoint

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.checkpoint is not None:
            keep_checkpoint(self.checkpoint)


def keep_checkpoint(checkpoint: Checkpoint) -> None:
    """Log a signed head: the database's owner cannot reach the logs. On a terminal, which keeps no log, at debug."""
    logger = logs.get_logger()
    log = logger.debug if sys.stderr.isatty() else logger.info
    log("checkpoint", seq=checkpoint.head.seq, note=checkpoint.note)


def _known(parts: Parts, keys: Sequence[AuditKey]) -> Sequence[AuditKey]:
    return keys or [public_key(parts).signing_key().key]


def _segments(parts: Parts, place: str) -> SegmentFiles:
    return SegmentFiles(archive_at(place, lambda: parts.aws))
