"""Reveal: the commands `reveal`, `find`, `tokens`, `duplicates` and `subject export`.

All need the declaration in force: with another one, an answer would lack values, or a search would make tokens
that no record has.
"""

from __future__ import annotations

import uuid

from vault_etl.app import quarantine
from vault_etl.app.audit import Keep, audit_log
from vault_etl.app.catalogue import must_be_in_force
from vault_etl.app.keys import ring
from vault_etl.app.parts import Parts
from vault_etl.app.records import months
from vault_etl.audit.entries import AuditRequest
from vault_etl.platform.clock import Progress
from vault_etl.reveal.duplicates import DuplicateFinder
from vault_etl.reveal.find import Find, FindUser
from vault_etl.reveal.postgres import (
    PostgresDisclosedValues,
    PostgresDuplicateFinder,
    PostgresEntriesAboutRecord,
    PostgresRecordFinder,
)
from vault_etl.reveal.reveal import Reveal
from vault_etl.reveal.tokens import MakeTokens
from vault_etl.subject.export import AccessServices, ExportSubject


def reveal(parts: Parts, request_id: uuid.UUID, keep: Keep | None = None) -> Reveal:
    """Build one reveal. KMS is asked for each of them, with the request id in the user agent."""
    must_be_in_force(parts)
    values = PostgresDisclosedValues(parts.database)
    log = audit_log(parts, request_id, keep)
    return Reveal(log, values, ring(parts, request_id), months(parts), parts.declaration)


def find(parts: Parts, request_id: uuid.UUID) -> Find:
    """Build `find` of values. KMS is asked for the token keys, with the request id in the user agent."""
    must_be_in_force(parts)
    finder = PostgresRecordFinder(parts.database)
    return Find(audit_log(parts, request_id), finder, ring(parts, request_id), parts.declaration)


def find_user(parts: Parts, request_id: uuid.UUID, keep: Keep | None = None) -> FindUser:
    """Build the search for a user's records (`--user-id`), which needs no key."""
    must_be_in_force(parts)
    return FindUser(audit_log(parts, request_id, keep), PostgresRecordFinder(parts.database))


def make_tokens(parts: Parts, request_id: uuid.UUID) -> MakeTokens:
    """Build `tokens`. KMS is asked for the token keys of the field alone."""
    must_be_in_force(parts)
    return MakeTokens(audit_log(parts, request_id), ring(parts, request_id), parts.declaration)


def duplicate_finder(parts: Parts) -> DuplicateFinder:
    """Build `duplicates`, for the server that `parts.reads` chose."""
    must_be_in_force(parts, database=parts.reads)
    return PostgresDuplicateFinder(parts.reads, parts.declaration)


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
