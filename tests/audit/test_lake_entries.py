"""Entries about sets: an opening counts its rows, and another process of the login may go on with its intent."""

from __future__ import annotations

import uuid
from typing import Final

import psycopg2
import pytest

from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.requests import request
from tests.kit.scratch import Scratch
from vault_etl.audit.entries import MAX_OPENED_ROWS, Action, AuditReceipt, AuditRequest
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.errors import AuditError, DeniedError, PolicyDeniedError
from vault_etl.platform.resources import blocks

SET: Final = uuid.UUID(int=9)
WRONG_AMOUNTS: Final = blocks("audit/proof.sql")["wrong_amounts"]


def opening(rows: int = 3) -> AuditRequest:
    """A request to open rows of a set."""
    return request(action=Action.LAKE_OPEN, record_id=SET, amount=rows, reason="why")


def intended(scratch: Scratch, role: str, asked: AuditRequest) -> AuditReceipt:
    """The receipt of an intent of a role."""
    with scratch.database(role) as database:
        return PostgresAuditLog(database).intend(asked)


def tampered(scratch: Scratch, table: str, change: str) -> None:
    """Change rows that are append only, as a superuser can."""
    scratch.sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL; UPDATE {table} SET {change}")  # noqa: S608


def test_an_opening_counts_its_rows(scratch: Scratch) -> None:
    """Each row is an access: the intent says how many, the quota has room for them, and `audit verify` compares."""
    receipt = intended(scratch, "reveal", opening(40))
    entry = "SELECT action, phase, record_id, reason FROM audit_log"
    assert scratch.sql(entry) == [("lake open", "intent", SET, "40 rows: why")]
    assert scratch.value("SELECT used FROM audit_allowance() LIMIT 1", role="reveal") == 40
    with pytest.raises(PolicyDeniedError):
        intended(scratch, "reveal", opening(11))
    intended(scratch, "reveal", opening(10))
    for wrong in (0, MAX_OPENED_ROWS + 1):
        with pytest.raises(AuditError):
            intended(scratch, "reveal", opening(wrong))
    with pytest.raises(PolicyDeniedError):
        intended(scratch, "re-encrypt", opening())
    # It discloses nothing of the tables.
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        scratch.sql("SELECT * FROM audit_disclose(%s)", receipt.seq, role="reveal")
    assert scratch.sql(WRONG_AMOUNTS, role="audit") == []
    tampered(scratch, "audit_amounts", "amount = 1")
    assert (receipt.seq,) in scratch.sql(WRONG_AMOUNTS, role="audit")


def test_an_intent_is_resumed_by_its_login_alone(scratch: Scratch) -> None:
    """Another process of the login gets a receipt while the intent has no outcome; no other login, no other entry."""
    receipt = intended(scratch, "reveal", opening())
    rotation = intended(scratch, "re-encrypt", request(action=Action.LAKE_ROTATE, record_id=SET))
    other = intended(scratch, "reveal", request(action=Action.REVEAL, record_id=SET))
    old = intended(scratch, "reveal", opening())
    with scratch.database("reveal") as database:
        log = PostgresAuditLog(database)
        with pytest.raises(PolicyDeniedError) as denied:
            log.intend(opening(1000))
        for _ in range(2):
            resumed = log.resume(receipt.seq)
            named = (resumed.seq, resumed.hash, resumed.login, resumed.logged_at)
            assert named == (receipt.seq, receipt.hash, receipt.login, receipt.logged_at)
            assert resumed.request.fields == tuple(sorted(PERSONAL_FIELDS))
            assert resumed.request.record_id == SET
        log.resume(old.seq)
        tampered(
            scratch,
            "audit_log",
            f"logged_at = now() - interval '6 hours 1 s' WHERE seq = {old.seq}",
        )
        for seq in (rotation.seq, other.seq, old.seq, denied.value.seq, 99):
            with pytest.raises(DeniedError):
                log.resume(seq)
        log.conclude(receipt)
        with pytest.raises(DeniedError):
            log.resume(receipt.seq)
    with scratch.database("re-encrypt") as database:
        assert PostgresAuditLog(database).resume(rotation.seq).request.action is Action.LAKE_ROTATE
    for role in ("ingest", "rotate", "erase", "audit"):
        with scratch.database(role) as database, pytest.raises(DeniedError):
            PostgresAuditLog(database).resume(receipt.seq)
