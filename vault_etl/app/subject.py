"""All data of one person: the command `subject export`."""

from __future__ import annotations

from vault_etl.app import quarantine
from vault_etl.app.audit import Keep
from vault_etl.app.find import find_user
from vault_etl.app.parts import Parts
from vault_etl.app.reveal import reveal
from vault_etl.audit.entries import AuditRequest
from vault_etl.platform.clock import Progress
from vault_etl.reveal.postgres import PostgresEntriesAboutRecord
from vault_etl.subject.export import AccessServices, ExportSubject


def export_subject(
    parts: Parts, request: AuditRequest, progress: Progress, keep: Keep
) -> ExportSubject:
    """Build `subject export`, whose accesses are those of `find`, `reveal` and `quarantine show`."""
    services = AccessServices(
        find_user=lambda asked, user: find_user(parts, asked.request_id, keep)(asked, user),
        reveal=lambda asked: reveal(parts, asked.request_id, keep)(asked),
        show=lambda asked: quarantine.show(parts, asked.request_id, keep)(asked),
        about=PostgresEntriesAboutRecord(parts.database),
    )
    fields = tuple(field.name for field in parts.declaration.fields)
    return ExportSubject(services, request, progress, fields)
