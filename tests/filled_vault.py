"""A vault that several tests of one file share, filled by the real commands."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vault import Vault
from vault_etl.adapters.embedded.postgres import RunningPostgres
from vault_etl.adapters.embedded.provision import Provisioned


@contextmanager
def filled_vault(
    postgres: RunningPostgres, moto: tuple[str, Provisioned], home: Path, bodies: Iterable[str]
) -> Iterator[Vault]:
    """A migrated database with its keys and no quota that matters, into which these bodies are loaded."""
    endpoint, provisioned = moto
    database = f"filled_{uuid.uuid4().hex[:12]}"
    outside = Vault(postgres, "postgres", endpoint, provisioned, home)
    outside.sql(f'CREATE DATABASE "{database}"')
    vault = Vault(postgres, database, endpoint, provisioned, home, {"VAULT_ETL_DRAIN_WAIT": "0"})
    try:
        vault.ok("admin", "migrate")
        vault.register_audit_key()
        vault.set_policy({"reveals_an_hour": 100_000, "purposes": {}})
        vault.ok("re-encrypt", "keys", "init")
        vault.renew_queue()
        vault.send(bodies)
        vault.ok("ingest", "ingest")
        yield vault
    finally:
        outside.sql(f'DROP DATABASE "{database}" WITH (FORCE)')
