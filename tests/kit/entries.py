"""Entries of the audit log, as a client of the database makes them, honest or not."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from psycopg2.extensions import connection, cursor

from tests.kit.scratch import Scratch, sealed_record, sealed_rejection
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.records.messages import SealedRecord, SealedRejection

APPEND = """audit_append(
    %(request_id)s, %(phase)s, %(actor)s, %(host)s, %(action)s, %(record_id)s, %(fields)s::text[],
    %(purpose)s, %(ticket)s, %(reason)s, %(decision)s, %(error_code)s, %(amount)s"""
CODES = {"denied": "role", "failed": "not_found"}
"""What a decision that says no has for a code."""

NO_QUOTA = """
SELECT vault_etl.reveal_policy_set(gen_random_uuid(), 'a', 'h', 'set', '{"reveals_an_hour": 100000, "purposes": {}}')
"""
RELEASE = "SELECT field, ciphertext FROM vault_etl.audit_disclose(%s)"


def append(opened: cursor, **changes: object) -> int:
    """Append an intent to reveal both fields of a record, changed as told; its seq.

    It commits by itself; what the connection has begun is committed before.
    """
    ((seq, *_),) = call(opened, f"CALL vault_etl.commit_{APPEND}{', NULL' * 6})", values(**changes))
    assert isinstance(seq, int)
    return seq


def append_open(opened: cursor, **changes: object) -> int:
    """Append an intent and leave the transaction open, which the owner and the superuser alone may; its seq."""
    opened.execute(f"SELECT seq FROM vault_etl.{APPEND})", values(**changes))  # noqa: S608
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
    keys = database.write_keys(QUARANTINE)
    rejection = sealed_rejection(keys)
    with database.loader() as loader:
        loader.load([], [rejection], keys)
    return rejection


ENTRIES = 1_000_000
"""One in 25 s up to now, half of them intents; four of five are of the login `admin`."""

MILLION_ENTRIES = """
SET session_replication_role = replica;
CREATE TEMPORARY TABLE made_again AS
SELECT format('ALTER TABLE audit_log ADD CONSTRAINT %I %s', conname, pg_get_constraintdef(oid)) AS it
FROM pg_constraint WHERE conname = 'one_entry_a_phase'
UNION ALL
SELECT pg_get_indexdef(indexrelid) FROM pg_index
WHERE indrelid = 'audit_log'::regclass AND NOT indisunique;
DO $$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT format('ALTER TABLE audit_log DROP CONSTRAINT %I', conname) FROM pg_constraint
        WHERE conrelid = 'audit_log'::regclass AND (contype = 'c' OR conname = 'one_entry_a_phase')
        UNION ALL
        SELECT format('DROP INDEX %s', indexrelid::regclass) FROM pg_index
        WHERE indrelid = 'audit_log'::regclass AND NOT indisunique
    LOOP
        EXECUTE statement;
    END LOOP;
    INSERT INTO audit_log
    SELECT
        i, now() - (1000001 - i) * interval '25 s',
        ('00000000-0000-0000-' || to_char(i / 2, 'FM0000000000000000'))::uuid,
        CASE i % 2 WHEN 0 THEN 'intent' ELSE 'outcome' END,
        CASE WHEN i % 20 < 16 THEN 'admin' ELSE 'login_' || i / 2 % 7 END,
        '192.0.2.1', 'arn:aws:sts::123456789012:assumed-role/reveal/someone', 'laptop',
        (ARRAY['reveal', 'find', 'keys rotate', 'keys range', 'reveal masked'])[1 + i / 2 % 5],
        CASE i / 2 % 5 WHEN 0 THEN ('00000000-0000-0000-' || to_char(i / 20, 'FM0000000000000000'))::uuid END,
        '{ip}', NULL, NULL, 'a customer asked', CASE i % 2 WHEN 0 THEN 'allowed' ELSE 'done' END, NULL,
        sha256(''), sha256(''), '3'
    FROM generate_series(4, 1000001) AS i;
    FOR statement IN SELECT it FROM made_again LOOP
        EXECUTE statement;
    END LOOP;
END
$$;
INSERT INTO audit_disclosed (seq, written_by) SELECT i, '3' FROM generate_series(10, 1000001, 10) AS i;
INSERT INTO audit_amounts SELECT i, 3 FROM generate_series(12, 1000001, 50) AS i;
INSERT INTO audit_checkpoints (seq, hash, key_hash, signature, stored_by)
SELECT i, sha256(''), '\\x00000000', '\\x3006020101020101', 'x' FROM generate_series(11, 1000001, 20) AS i;
INSERT INTO key_changes
SELECT i, i / 10, 'data', 'ip', NULL, 'decrypt_only', '\\x0000000000000000', NULL, 'a'
FROM generate_series(4, 1000000, 10) AS i;
UPDATE audit_head SET seq = 1000001;
ANALYZE;
"""
"""SQL that fills the log with `ENTRIES` entries, and what belongs to them, as the superuser; their hashes are wrong."""
