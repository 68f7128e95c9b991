"""A function of a user, on an executor with the credentials of the role reveal: what private modules give it."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from vault_etl.app.parts import Parts
from vault_etl.audit.entries import Action, AuditRequest, mint_receipt
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.errors import VaultEtlError
from vault_etl.reveal.postgres import PostgresDisclosedValues
from vault_etl.spark.process import process_vault


def attack(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Try to open without an entry, and tell the error of each try."""
    for _ in batches:
        parts = process_vault().parts
        told = {each.__name__: _told(each, parts) for each in (no_intent, forged_receipt, a_table)}
        yield pa.record_batch({"told": [json.dumps(told)]})


def no_intent(parts: Parts) -> object:
    """Take up entries that are no intents to open a set."""
    return [PostgresAuditLog(parts.database).resume(seq) for seq in (1, 2, 10**6)]


def forged_receipt(parts: Parts) -> object:
    """Ask Postgres for stored values with a receipt that no log has made."""
    request = AuditRequest(
        request_id=uuid.uuid4(), action=Action.REVEAL, actor="a", host="h", reason="r"
    )
    receipt = mint_receipt(request, 10**6, bytes(32), "l", parts.clock.now())
    return PostgresDisclosedValues(parts.database).disclose(receipt)


def a_table(parts: Parts) -> object:
    """Read ciphertexts and tokens from the table."""
    with parts.database.transaction() as cursor:
        cursor.execute("SELECT ip_ciphertext FROM vault_etl.user_logins")
        return cursor.fetchall()


def _told(attempt: Callable[[Parts], object], parts: Parts) -> str:
    try:
        return f"got {type(attempt(parts)).__name__}"
    except VaultEtlError as error:
        return type(error).__name__
