"""Entries of the audit log, as a client of the database makes them, honest or not."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from psycopg2.extensions import connection, cursor

from tests.kit.scratch import Scratch, sealed_record, sealed_rejection
from vault_etl.crypto.fields import Field
from vault_etl.records.messages import SealedRecord, SealedRejection

APPEND = """audit_append(
    %(request_id)s, %(phase)s, %(actor)s, %(host)s, %(action)s, %(record_id)s, %(fields)s::text[],
    %(purpose)s, %(ticket)s, %(reason)s, %(decision)s, %(error_code)s, %(amount)s"""
CODES = {"denied": "role", "failed": "not_found"}
"""What a decision that says no has for a code."""

NO_QUOTA = """
SELECT public.reveal_policy_set(gen_random_uuid(), 'a', 'h', 'set', '{"reveals_an_hour": 100000, "purposes": {}}')
"""
RELEASE = "SELECT field, ciphertext FROM public.audit_disclose(%s)"


def append(opened: cursor, **changes: object) -> int:
    """Append an intent to reveal both fields of a record, changed as told; its seq.

    It commits by itself; what the connection has begun is committed before.
    """
    ((seq, *_),) = call(opened, f"CALL public.commit_{APPEND}{', NULL' * 6})", values(**changes))
    assert isinstance(seq, int)
    return seq


def append_open(opened: cursor, **changes: object) -> int:
    """Append an intent and leave the transaction open, which the owner and the superuser alone may; its seq."""
    opened.execute(f"SELECT seq FROM public.{APPEND})", values(**changes))  # noqa: S608
    ((seq,),) = opened.fetchall()
    assert isinstance(seq, int)
    return seq


def values(**changes: object) -> dict[str, object]:
    """The values of `APPEND`."""
    return {
        "request_id": uuid.uuid4(),
        "phase": "intent",
        "actor": "arn:aws:sts::123456789012:assumed-role/reveal/someone",
        "host": "laptop",
        "action": "reveal",
        "record_id": None,
        "fields": ["device_id", "ip"],
        "purpose": "support",
        "ticket": "T-1",
        "reason": "a customer asked",
        "decision": "allowed",
        "error_code": CODES.get(str(changes.get("decision"))),
        "amount": None,
        **changes,
    }


def call(
    opened: cursor, statement: str, values: Mapping[str, object] | None = None
) -> list[tuple[Any, ...]]:
    """CALL a procedure that commits, after what the connection has begun is committed."""
    opened.connection.commit()
    opened.connection.autocommit = True
    try:
        opened.execute(statement, values)
        return opened.fetchall()
    finally:
        opened.connection.autocommit = False


def append_both(opened: cursor, **changes: object) -> int:
    """Append an intent, and its outcome: done; the outcome's seq."""
    request = {"request_id": uuid.uuid4(), **changes}
    append(opened, **request)
    return append(opened, **request, phase="outcome", decision="done")


def append_committed(database: Scratch, role: str = "reveal", /, **changes: object) -> int:
    """Append an entry and commit it; its seq."""
    with database.connect(role) as opened, opened.cursor() as cursor_:
        return append(cursor_, **changes)


def release(opened: connection, seq: int) -> dict[str, bytes]:
    """Ask for what an intent names, and commit."""
    with opened.cursor() as cursor_:
        cursor_.execute(RELEASE, (seq,))
        rows: list[tuple[str, Any]] = cursor_.fetchall()
    opened.commit()
    return {field: bytes(value) for field, value in rows}


def stored_record(database: Scratch) -> SealedRecord:
    """A record that is in the database."""
    keys = database.write_keys()
    record = sealed_record(keys)
    with database.loader() as loader:
        loader.load([record], [], keys)
    return record


def stored_rejection(database: Scratch) -> SealedRejection:
    """A quarantined message that is in the database, which has token keys."""
    keys = database.write_keys(Field.QUARANTINE)
    rejection = sealed_rejection(keys)
    with database.loader() as loader:
        loader.load([], [rejection], keys)
    return rejection
