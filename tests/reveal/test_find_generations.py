"""`find` while a rotation of the token keys runs, and after it: no record is missed in any generation."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.kit.events import event
from tests.kit.holders import ADDRESS, users
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault
from vault_etl.crypto.fields import PERSONAL_FIELDS, KeyPurpose
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


@pytest.fixture
def ann(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with one record, of ann, of generation 1."""
    body = event(user_id="ann", ip=ADDRESS)
    with filled_vault(keyed, tmp_path_factory.mktemp("ann"), [body]) as vault:
        yield vault


def test_every_generation_is_looked_for(ann: Vault) -> None:
    """Old, both, new: whatever the row's tokens are of, it is found, once, under the active token."""
    begin(ann)
    load(ann, "bob")
    assert search(ann) == (["ann", "bob"], 2)
    ann.sql(SWAPPED)
    load(ann, "cyd")
    tokens = dict(ann.sql("SELECT user_id, masked_ip IS NULL FROM user_logins"))
    assert tokens == {"ann": True, "bob": False, "cyd": False}
    assert search(ann) == (["ann", "bob", "cyd"], 3)


def test_a_destroyed_generation_is_not_asked_for(ann: Vault) -> None:
    """When its rows are gone and its keys erased, KMS is not troubled with it any more."""
    begin(ann)
    load(ann, "bob")
    ann.sql(SWAPPED)
    ann.sql(
        "UPDATE user_logins SET next_masked_ip = NULL, next_masked_device_id = NULL,"
        " next_token_generation = NULL;"
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL"
        " WHERE purpose = 'token' AND generation = 1"
    )
    assert search(ann) == (["bob"], 1)


def search(vault: Vault) -> tuple[list[str], int]:
    """Who holds the address, and the count; the token is the active generation's."""
    asked = ("find", "-f", "ip", "--reason", "x")
    result = vault.ok("reveal", *asked, stdin=ADDRESS)
    active = "SELECT masked_ip::text FROM user_logins WHERE masked_ip IS NOT NULL"
    assert {token for (token,) in vault.sql(active)} == {result.json["token"]}
    return users(result), result.json["count"]


def load(vault: Vault, user_id: str) -> None:
    """One more login from the same address."""
    vault.send([event(user_id=user_id, ip=ADDRESS)])
    assert vault.ok("ingest", "ingest").json["stored"] == 1


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
            field.value,
            arn,
            made["CiphertextBlob"],
            fingerprint(KeyMaterial(made["Plaintext"]), key_id),
        )
