"""The hash chain of the audit log, recomputed from docs/formats.md with nothing but hashlib."""

from __future__ import annotations

import datetime as dt
import hashlib

from tests.kit.scratch import Scratch
from vault_etl.audit.log import AuditEntry
from vault_etl.audit.postgres import PostgresAuditReader

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


GENESIS = b"vault-etl/1/audit-genesis"


def broken(database: Scratch) -> list[int]:
    """The seqs at which the chain does not hold; one past the end if the head is another."""
    vault_id = database.value("SELECT vault_id FROM vault_etl.vault", role="audit")
    previous = hashlib.sha256(GENESIS + vault_id.bytes).digest()
    bad, seq = [], 0
    for seq, entry in enumerate(entries(database), start=1):
        if (entry.seq, entry.prev_hash, entry.hash) != (seq, previous, hash_of(entry)):
            bad.append(entry.seq)
        previous = entry.hash
    ((head_seq, head_hash),) = database.sql("SELECT seq, hash FROM audit_head")
    return bad if (head_seq, bytes(head_hash)) == (seq, previous) else [*bad, seq + 1]


def hash_of(entry: AuditEntry) -> bytes:
    """SHA-256 over the label, seq and time as int64, then fifteen columns."""
    microseconds = (entry.logged_at - EPOCH) // dt.timedelta(microseconds=1)
    return hashlib.sha256(
        b"vault-etl/1/audit"
        + entry.seq.to_bytes(8, "big")
        + microseconds.to_bytes(8, "big", signed=True)
        + encoded(str(entry.request_id))
        + encoded(entry.phase)
        + encoded(entry.login)
        + encoded(entry.client_address)
        + encoded(entry.actor)
        + encoded(entry.host)
        + encoded(entry.action)
        + encoded(None if entry.record_id is None else str(entry.record_id))
        + encoded_list(entry.fields)
        + encoded(entry.purpose)
        + encoded(entry.ticket)
        + encoded(entry.reason)
        + encoded(entry.decision)
        + encoded(entry.error_code)
        + encoded(entry.prev_hash)
    ).digest()


def encoded(value: str | bytes | None) -> bytes:
    """NULL: 0x00. Anything else: 0x01, its length as a uint32, its bytes."""
    if value is None:
        return b"\0"
    octets = value.encode() if isinstance(value, str) else value
    return b"\x01" + len(octets).to_bytes(4, "big") + octets


def encoded_list(values: tuple[str, ...]) -> bytes:
    """A uint16 count, then each element in the order of its bytes. No 0x01 before it."""
    in_order = sorted(value.encode() for value in values)
    return len(values).to_bytes(2, "big") + b"".join(encoded(value) for value in in_order)


def entries(database: Scratch) -> list[AuditEntry]:
    """The whole log, as the role audit reads it."""
    with database.database("audit") as opened:
        return list(PostgresAuditReader(opened).entries())
