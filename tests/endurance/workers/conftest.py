"""Vaults whose ingest is quick."""

from __future__ import annotations

import pytest

from tests.kit.vault import Vault


@pytest.fixture
def quick(vault: Vault) -> Vault:
    """A vault whose long polls are short, and whose batches wait for no further message."""
    vault.overrides.update(
        {
            "VAULT_ETL_DRAIN_WAIT": "0",
            "VAULT_ETL_FOLLOW_WAIT": "1",
            "VAULT_ETL_LINGER": "0.2",
            "VAULT_ETL_RECEIVERS": "1",
        }
    )
    return vault
