"""Rows of `data_keys`: their states, their ids, and an active key whose lease is over."""

from __future__ import annotations

import uuid

from tests.kit.vault import Vault

STATE = "SELECT state, wrapped_key IS NULL, destroyed_at IS NULL FROM data_keys WHERE key_id = %s"


LEFT = ("decrypt_only", False, True)


GONE = ("destroyed", True, False)


def data_key(vault: Vault, field: str) -> int:
    """The id of the one data key of a field that is not retired."""
    ((key_id,),) = vault.sql(
        "SELECT key_id FROM data_keys WHERE purpose = 'data' AND field = %s AND state = 'active'",
        field,
    )
    assert isinstance(key_id, int)
    return key_id


def token_keys(vault: Vault, generation: int) -> list[int]:
    """The ids of a generation's keys, in order."""
    rows = vault.sql("SELECT key_id FROM data_keys WHERE generation = %s ORDER BY 1", generation)
    return [key_id for (key_id,) in rows]


def expired_key(vault: Vault) -> int:
    """The id of an active data key whose lease is over."""
    key_id = uuid.uuid4().int % 2**31 + 1
    vault.sql(
        "INSERT INTO data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)"
        " VALUES (%s, 'ip', 'arn:x', 'wrapped', '8 bytes!', now() - interval '1 second')",
        key_id,
    )
    return key_id
