"""The wrapped bytes of every key of a vault."""

from __future__ import annotations

from typing import Any

from tests.kit.vault import Vault


def wrapped(vault: Vault) -> dict[int, tuple[str, Any]]:
    """The KMS key and the wrapped bytes of every key."""
    return {
        key_id: (arn, None if blob is None else bytes(blob))
        for key_id, arn, blob in vault.sql("SELECT key_id, kms_key_arn, wrapped_key FROM data_keys")
    }


def changed(vault: Vault, before: dict[int, tuple[str, Any]]) -> set[int]:
    """The ids of the keys whose bytes are not those of before."""
    return {key_id for key_id, (_, blob) in wrapped(vault).items() if blob != before[key_id][1]}
