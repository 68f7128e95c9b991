"""Keys that no key of ours opens, and rows under them, as a stolen `ingest` stores them to block a rotation.

Each step uses the login and the access key of `ingest`, past every guard of the database.
"""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import Any, Final

from tests.attacks.least_privilege.by_hand import StolenKey, kms_of
from tests.kit.vault import Vault
from vault_etl.crypto.record_id import record_id_of_message

FOREIGN: Final = "arn:aws:kms:us-east-1:444455556666:key/00000000-0000-4000-8000-000000000000"

KINDS: Final = (
    "garbage",
    "other context",
    "foreign ARN",
    "token ARN",
    "fingerprint",
    "other KMS key",
)

ADD_KEY: Final = (
    "INSERT INTO data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)"
    " VALUES (%s, %s, %s, %s, %s, now() + interval '1 hour')"
)
ADD_RECORD: Final = (
    "INSERT INTO user_logins (record_id, user_id, device_type, ip_ciphertext, device_id_ciphertext,"
    " masked_ip, masked_device_id, token_generation, create_date)"
    " VALUES (%s, 'mallory', 'd', %s, %s, gen_random_uuid(), gen_random_uuid(), 1, current_date)"
)
ADD_BODY: Final = (
    "INSERT INTO quarantine (record_id, reason_code, path, body_ciphertext)"
    " VALUES (%s, 'not_json', '$', %s)"
)


@dataclass(frozen=True, slots=True)
class Planted:
    """A record, or a body, and the keys of its values."""

    record_id: uuid.UUID
    key_ids: tuple[int, ...]


def plant_record(vault: Vault, kind: str) -> Planted:
    """Store a record with both values under keys of this kind."""
    keys = tuple(_plant_key(vault, kind, field) for field in ("ip", "device_id"))
    planted = Planted(_new_id(vault), keys)
    vault.sql(ADD_RECORD, planted.record_id, *map(_sealed, keys), role="ingest")
    return planted


def plant_body(vault: Vault, kind: str) -> Planted:
    """Store a body in quarantine, under a key of this kind."""
    key_id = _plant_key(vault, kind, "quarantine")
    planted = Planted(_new_id(vault), (key_id,))
    vault.sql(ADD_BODY, planted.record_id, _sealed(key_id), role="ingest")
    return planted


def _plant_key(vault: Vault, kind: str, field: str) -> int:
    key_id, other = (int.from_bytes(os.urandom(3)) + 1 for _ in range(2))
    arns = vault.provisioned.key_arns
    wrapped, arn = os.urandom(184), arns["data"]
    if kind in {"other context", "fingerprint"}:
        bound_to = StolenKey(other if kind == "other context" else key_id, "data", field, arn, b"")
        wrapped = _made(kms_of(vault.environment("ingest")), bound_to)
    elif kind == "other KMS key":
        kms = vault.emulator.client("kms")
        theirs = kms.create_key()["KeyMetadata"]["Arn"]
        wrapped = _made(kms, StolenKey(key_id, "data", field, theirs, b""))
    elif kind != "garbage":
        arn = FOREIGN if kind == "foreign ARN" else arns["token"]
    vault.sql(ADD_KEY, key_id, field, arn, wrapped, os.urandom(8), role="ingest")
    return key_id


def _made(kms: Any, key: StolenKey) -> bytes:  # noqa: ANN401 - boto3's own
    made = kms.generate_data_key(KeyId=key.arn, NumberOfBytes=32, EncryptionContext=key.context)
    wrapped = made["CiphertextBlob"]
    assert isinstance(wrapped, bytes)
    return wrapped


def _sealed(key_id: int) -> bytes:
    """Bytes of the right form: format 1, the key's id, a nonce, an empty block and an empty tag."""
    return b"\x01" + key_id.to_bytes(4, "big") + os.urandom(12 + 16 + 16)


def _new_id(vault: Vault) -> uuid.UUID:
    """A record id of now, like the ids of messages."""
    ((now,),) = vault.sql("SELECT (extract(epoch FROM now()) * 1000)::bigint")
    return record_id_of_message(str(uuid.uuid4()), now)
