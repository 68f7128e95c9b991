"""What the tests of least privilege share. All but one need an emulator that judges policies."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vault import Vault
from vault_etl.adapters.embedded.emulator import EmulatorName
from vault_etl.adapters.embedded.postgres import RunningPostgres
from vault_etl.adapters.embedded.provision import Provisioned

ON_LOCALSTACK = "test_deployed_template.py"
"""It starts a LocalStack itself; the others prove nothing there, where no policy is enforced."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With `--emulator localstack` only what LocalStack can tell is left."""
    if config.getoption("--emulator") != EmulatorName.LOCALSTACK or collection_path.is_dir():
        return None
    return collection_path.name != ON_LOCALSTACK


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
    vault.ok("re-encrypt", "keys", "init")
    vault.renew_queue()
    yield vault
    around.sql(f'DROP DATABASE "{database}" WITH (FORCE)')
