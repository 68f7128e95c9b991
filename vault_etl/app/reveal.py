"""Reveal: the commands `reveal`, `find` and `tokens`.

All need the declaration in force: with another one, an answer would lack values, or a search would make tokens
that no record has.
"""

from __future__ import annotations

import uuid

from vault_etl.app.audit import Keep, audit_log
from vault_etl.app.in_force import BETWEEN_RECORDS_S, must_be_in_force
from vault_etl.app.key_ring import ring
from vault_etl.app.parts import Parts
from vault_etl.app.records import months
from vault_etl.reveal.find import Find, FindUser
from vault_etl.reveal.postgres import (
    PostgresDisclosedValues,
    PostgresRecordFinder,
)
from vault_etl.reveal.reveal import Reveal
from vault_etl.reveal.tokens import MakeTokens


def reveal(parts: Parts, request_id: uuid.UUID, keep: Keep | None = None) -> Reveal:
    """Build one reveal. KMS is asked for each of them, with the request id in the user agent."""
    must_be_in_force(parts, within=BETWEEN_RECORDS_S)
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
