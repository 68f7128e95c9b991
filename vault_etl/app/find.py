"""Searches: the commands `find` and `tokens`, and the records of a user.

All need the declaration in force: with another one, a search would make tokens that no record has.
"""

from __future__ import annotations

import uuid

from vault_etl.app.audit import Keep, audit_log
from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.key_ring import ring
from vault_etl.app.parts import Parts
from vault_etl.reveal.find import Find, FindUser
from vault_etl.reveal.postgres_find import PostgresRecordFinder
from vault_etl.reveal.tokens import MakeTokens


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
