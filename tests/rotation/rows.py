"""Rows of a vault by their user, byte for byte."""

from __future__ import annotations

from typing import Any

from tests.kit.vault import Vault

ROWS = """
    SELECT user_id, record_id, ip_ciphertext, device_id_ciphertext, masked_ip, masked_device_id,
        next_masked_ip, next_masked_device_id, token_generation, next_token_generation
    FROM user_logins
"""

Row = dict[str, Any]


def rows(vault: Vault) -> dict[str, Row]:
    """The columns that a rotation may change, and the record id, by user."""
    names = ["id", "ip", "device_id", "masked_ip", "masked_device_id"]
    names += ["next_masked_ip", "next_masked_device_id", "generation", "next_generation"]
    return {
        user_id: {
            name: bytes(value) if isinstance(value, memoryview) else value
            for name, value in zip(names, values, strict=True)
        }
        for user_id, *values in vault.sql(ROWS)
    }


def put(vault: Vault, user_id: str, **columns: object) -> None:
    """Write a value into a row behind the program's back: the column has its name in the table."""
    for name, value in columns.items():
        vault.sql(f"UPDATE user_logins SET {name} = %s WHERE user_id = %s", value, user_id)  # noqa: S608
