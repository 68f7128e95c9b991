"""Vaults that several CLI tests share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.vault import Vault, sample_events
from vault_etl.adapters.embedded.postgres import RunningPostgres
from vault_etl.adapters.embedded.provision import Provisioned

IMPATIENT = {"VAULT_ETL_DRAIN_WAIT": "0"}
"""The emulator brings what it has at once: a drain need not wait."""


@pytest.fixture(scope="session")
def loaded(
    postgres: RunningPostgres,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vault]:
    """A vault with the 100 samples in it, all by the real commands, for tests that only look."""
    endpoint, provisioned = moto
    home = tmp_path_factory.mktemp("loaded")
    database = f"loaded_{uuid.uuid4().hex[:12]}"
    Vault(postgres, "postgres", endpoint, provisioned, home).sql(f'CREATE DATABASE "{database}"')
    vault = Vault(postgres, database, endpoint, provisioned, home, dict(IMPATIENT))
    vault.ok("admin", "migrate")
    vault.register_audit_key()
    vault.set_policy({"reveals_an_hour": 100_000, "purposes": {}})
    vault.ok("re-encrypt", "keys", "init")
    vault.renew_queue()
    vault.send(sample_events())
    vault.ok("ingest", "ingest")
    yield vault
    Vault(postgres, "postgres", endpoint, provisioned, home).sql(
        f'DROP DATABASE "{database}" WITH (FORCE)'
    )


@pytest.fixture
def quick(vault: Vault) -> Vault:
    """A vault whose drains do not wait for more."""
    vault.overrides.update(IMPATIENT)
    return vault
