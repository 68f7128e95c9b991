"""Transactions as the owner of the tables, and the entries that are written in them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

import psycopg2.extensions

from vault_etl.audit.entries import AuditRequest, Decision, Phase
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import blocks

_SQL: Final = blocks("audit/owner.sql")


@contextlib.contextmanager
def as_owner(
    database: Database, name: str = "partitions", *, frozen: bool = False
) -> Iterator[psycopg2.extensions.cursor]:
    """One transaction as the owner, as long as it takes; `frozen`: it sees one moment, and writes nothing.

    Observers know it by `name`. Raises DeniedError for any other login.
    """
    with database.transaction(name, long=True) as cursor:
        if frozen:
            cursor.execute(_SQL["freeze"])
        cursor.execute(_SQL["act_as_owner"])
        yield cursor


def write_both(cursor: psycopg2.extensions.cursor, request: AuditRequest, text: str) -> None:
    """Both entries, last in the transaction that does what they say."""
    write(cursor, request, Phase.INTENT, Decision.ALLOWED, request.reason)
    write(cursor, request, Phase.OUTCOME, Decision.DONE, text)


def write(
    cursor: psycopg2.extensions.cursor,
    request: AuditRequest,
    phase: Phase,
    decision: Decision,
    reason: str,
    error_code: str | None = None,
) -> None:
    """One entry."""
    cursor.execute(
        _SQL["entry"],
        {
            "request_id": request.request_id,
            "phase": phase.value,
            "actor": request.actor,
            "host": request.host,
            "action": request.action.value,
            "ticket": request.ticket,
            "reason": reason,
            "decision": decision.value,
            "error_code": error_code,
        },
    )
