"""The proof of the audit log: its verification, its segments and their removal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence

from vault_etl.app.audit import public_key
from vault_etl.app.partitions import archive_at
from vault_etl.app.parts import Parts
from vault_etl.audit.checkpoint import AuditKey
from vault_etl.audit.entries import AuditRequest
from vault_etl.audit.postgres_proof import PostgresProver
from vault_etl.audit.proof import Proof
from vault_etl.audit.segments.export import LogExporter
from vault_etl.audit.segments.files import SegmentFiles
from vault_etl.audit.segments.postgres import PostgresTrimmer
from vault_etl.audit.segments.segment import SegmentManifest
from vault_etl.audit.segments.trim import TrimLog, Trimmed
from vault_etl.audit.segments.verify import verify_segments
from vault_etl.audit.verify_log import verify_log
from vault_etl.audit.verify_notes import KeptNote, refuse_newer
from vault_etl.platform.clock import Progress


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


def _known(parts: Parts, keys: Sequence[AuditKey]) -> Sequence[AuditKey]:
    return keys or [public_key(parts).signing_key().key]


def _segments(parts: Parts, place: str) -> SegmentFiles:
    return SegmentFiles(archive_at(place, lambda: parts.aws))
