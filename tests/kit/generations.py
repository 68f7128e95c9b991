"""Generations of keys: begun, swapped, revealed and destroyed, through the real command."""

from __future__ import annotations

import secrets
import subprocess

from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.events import events
from tests.kit.vault import Vault
from tests.kit.waiting import until
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyMaterial, encryption_context, fingerprint

SWAPPED = """
    ALTER TABLE user_logins DROP CONSTRAINT tokens_of_one_generation;
    UPDATE user_logins SET
        masked_ip = next_masked_ip, next_masked_ip = masked_ip,
        masked_device_id = next_masked_device_id, next_masked_device_id = masked_device_id,
        token_generation = next_token_generation, next_token_generation = token_generation;
    UPDATE data_keys SET state = 'decrypt_only' WHERE purpose = 'token' AND generation = 1;
    UPDATE data_keys SET state = 'active' WHERE purpose = 'token' AND generation = 2
"""
"""What a cut-over leaves behind: old tokens in next_*, and rows without a new one if they were left out."""


EVERYTHING = (
    "SELECT (SELECT array_agg(k ORDER BY key_id) FROM data_keys k)::text,"
    " (SELECT array_agg(r ORDER BY record_id) FROM user_logins r)::text,"
    " (SELECT array_agg(q ORDER BY record_id) FROM quarantine q)::text,"
    " (SELECT array_agg(a ORDER BY seq) FROM audit_log a)::text"
)


KEPT = "older backups still have the wrapped key"


def begin(vault: Vault) -> None:
    """Make generation 2 pending, as a rotation of the token keys begins."""
    kms, arn = vault.emulator.client("kms"), vault.provisioned.key_arns["token"]
    for field in PERSONAL_FIELDS:
        key_id = secrets.randbelow(2**32 - 1) + 1
        made = kms.generate_data_key(
            KeyId=arn,
            NumberOfBytes=32,
            EncryptionContext=encryption_context(KeyPurpose.TOKEN, field, key_id),
        )
        vault.sql(
            "INSERT INTO data_keys (key_id, purpose, field, generation, state, kms_key_arn,"
            " wrapped_key, fingerprint) VALUES (%s, 'token', %s, 2, 'pending', %s, %s, %s)",
            key_id,
            field,
            arn,
            made["CiphertextBlob"],
            fingerprint(KeyMaterial(made["Plaintext"]), key_id),
        )


def reveal_all(vault: Vault) -> dict[str, dict[str, str]]:
    """The fields of every record, opened, by record id."""
    ids = [str(record_id) for (record_id,) in vault.sql("SELECT record_id FROM user_logins")]
    lines = vault.ok("reveal", "reveal", *ids, "--reason", "a test").lines
    return {line["record_id"]: line["fields"] for line in lines}


def send_and_wait(vault: Vault, ingest: subprocess.Popen[str], stored: int) -> None:
    """Send 20 events; wait until so many are stored in all."""
    vault.send(events(20))
    until(lambda: vault.count("user_logins") >= stored, lives=lambda: ingest.poll() is None)
