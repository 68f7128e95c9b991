"""Intents to find, and the two calls of a search: bind, then find."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import psycopg2
from psycopg2.extensions import connection, cursor

from tests.kit.entries import append_committed
from tests.kit.scratch import Scratch
from vault_etl.reveal.find import search_digest

Denied = psycopg2.errors.InsufficientPrivilege


SEARCH = "SELECT vault_etl.audit_search(%s, %s)"


FIND = "SELECT record_id, subject, day, holders FROM vault_etl.audit_find(%s, %s, %s::uuid[], %s)"


NONCE = bytes(range(32))


Tokens = Sequence[uuid.UUID]


def intent(shared: Scratch, role: str = "reveal", /, **changes: object) -> int:
    """A committed intent to find an address, changed as told; its seq."""
    return append_committed(
        shared, role, **{"action": "find", "fields": ["ip"], "record_id": None, **changes}
    )


def bind(session: connection, seq: int, tokens: Tokens) -> None:
    """Bind an intent to these tokens, and commit."""
    with session.cursor() as opened:
        opened.execute(SEARCH, (seq, search_digest(NONCE, tokens)))
    session.commit()


def find(opened: cursor, seq: int, tokens: Tokens, limit: int | None = 10) -> list[str]:
    """Return the records that hold one of these tokens. Does not commit."""
    opened.execute(FIND, (seq, NONCE, list(tokens), limit))
    return sorted(user for _, user, _, _ in opened.fetchall())


def look(session: connection, seq: int, tokens: Tokens) -> list[str]:
    """Find as an honest client does: bind, commit, find, commit."""
    bind(session, seq, tokens)
    with session.cursor() as opened:
        found = find(opened, seq, tokens)
    session.commit()
    return found
