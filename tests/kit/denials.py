"""Rights that are taken away, keys of other roles, and the entries that a denial leaves."""

from __future__ import annotations

from typing import Any

from tests.kit.vault import Vault

APPEND = "vault_etl.audit_append(uuid, text, text, text, text, uuid, text[], text, text, text, text, text, integer)"


REVOKE = f"REVOKE EXECUTE ON FUNCTION {APPEND} FROM vault_etl_reveal"


MAY_APPEND = {"reveal", "rotate", "re-encrypt"}


def denied(vault: Vault, since: int) -> list[tuple[Any, ...]]:
    """Return the action and the error code of each intent denied since an entry."""
    return vault.sql(
        "SELECT action, error_code FROM audit_log WHERE decision = 'denied' AND seq > %s", since
    )
