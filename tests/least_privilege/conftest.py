"""What the tests of least privilege share."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.vault import Vault
from vault_etl.adapters.embedded.postgres import RunningPostgres
from vault_etl.adapters.embedded.provision import Provisioned


@pytest.fixture(scope="module")
def shared_vault(
    postgres: RunningPostgres,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vault]:
    """A vault of one module's tests, with token keys and an empty queue."""
    database = f"least_{uuid.uuid4().hex[:12]}"
    home = tmp_path_factory.mktemp("home")
    vault = Vault(postgres, database, *moto, home, {"VAULT_ETL_DRAIN_WAIT": "0"})
    around = Vault(postgres, "postgres", *moto, home)
    around.sql(f'CREATE DATABASE "{database}"')
    vault.ok("admin", "migrate")
    vault.register_audit_key()
    vault.set_policy({"reveals_an_hour": 1_000_000, "purposes": {}})
    vault.ok("re-encrypt", "keys", "init")
    vault.renew_queue()
    yield vault
    around.sql(f'DROP DATABASE "{database}" WITH (FORCE)')
