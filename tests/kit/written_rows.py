"""Rows as a login with the role ingest writes them by SQL, whole or forged."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.kit.declared import FIELDS, IP
from tests.kit.scratch import Scratch, ciphertext, new_record_id
from vault_etl.crypto.fields import QUARANTINE

INSERT = (
    "INSERT INTO {} (record_id, user_id, device_type, ip_ciphertext, device_id_ciphertext, masked_ip,"
    " masked_device_id, next_masked_ip, next_masked_device_id, token_generation, next_token_generation,"
    " create_date) VALUES (%s, 'u', 'd', %s, %s, %s, %s, %s, %s, %s, %s, '2026-01-31')"
)


QUARANTINED = (
    "INSERT INTO vault_etl.quarantine (record_id, reason_code, path, body_ciphertext)"
    " VALUES (%s, 'not_json', '$', %s)"
)


@dataclass(frozen=True, slots=True)
class Site:
    """A vault with keys of several makers and states; ids by what they are."""

    scratch: Scratch
    keys: dict[str, int]

    def good(self, **changes: Any) -> Row:  # noqa: ANN401 - a column's value
        """A row that is stored, changed as told."""
        ip, device_id = (ciphertext(self.keys[name]) for name in ("ip", "device_id"))
        row = Row(ip, device_id, uuid.uuid4(), uuid.uuid4())
        return replace(row, **changes)

    def insert(
        self, row: Row, table: str = "vault_etl.user_logins", role: str = "ingest"
    ) -> uuid.UUID:
        """Insert one record in one statement, with the login's own SQL."""
        record_id = new_record_id()
        self.scratch.sql(INSERT.format(table), record_id, *row.values, role=role)
        return record_id

    def quarantine(self, body: bytes | None, role: str = "ingest") -> uuid.UUID:
        """Quarantine one message in one statement, with the login's own SQL."""
        record_id = new_record_id()
        self.scratch.sql(QUARANTINED, record_id, body, role=role)
        return record_id


@pytest.fixture(scope="module")
def site(shared: Scratch) -> Site:
    """Active keys of ingest for each field, and others that it may not write under."""
    shared.add_token_keys()
    keys: dict[str, int] = {field: shared.add_data_key(field).key_id for field in FIELDS}
    keys["another login's"] = shared.add_data_key(IP, role="re-encrypt").key_id
    keys["another login's body"] = shared.add_data_key(QUARANTINE, role="re-encrypt").key_id
    for whose, role, field in (
        ("", "ingest", IP),
        ("another login's ", "re-encrypt", IP),
        ("another login's body ", "re-encrypt", QUARANTINE),
    ):
        retired, expired = (shared.add_data_key(field, role=role).key_id for _ in range(2))
        keys |= {f"{whose}decrypt_only": retired, f"{whose}expired": expired}
        shared.sql("UPDATE data_keys SET state = 'decrypt_only' WHERE key_id = %s", retired)
        shared.sql(
            "BEGIN; SET LOCAL session_replication_role = replica;"
            "UPDATE data_keys SET expires_at = now() - interval '1 s' WHERE key_id = %s; COMMIT",
            expired,
        )
    keys["token"] = shared.value(
        "SELECT key_id FROM data_keys WHERE purpose = 'token' AND field = 'ip'"
    )
    keys["unknown"] = next(i for i in range(1, 100) if i not in keys.values())
    return Site(shared, keys)


@dataclass(frozen=True, slots=True)
class Row:
    """A record as a worker of ours writes it, unless it is changed."""

    ip: bytes | None
    device_id: bytes | None
    masked_ip: uuid.UUID | None
    masked_device_id: uuid.UUID | None
    next_masked_ip: uuid.UUID | None = None
    next_masked_device_id: uuid.UUID | None = None
    generation: int | None = 1
    next_generation: int | None = None

    @property
    def values(self) -> tuple[object, ...]:
        """Values in the order of `INSERT`."""
        tokens = (self.masked_ip, self.masked_device_id)
        following = (self.next_masked_ip, self.next_masked_device_id)
        numbers = (self.generation, self.next_generation)
        return (self.ip, self.device_id, *tokens, *following, *numbers)
