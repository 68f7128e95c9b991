"""A password that is changed under a running `ingest --follow`, which reads it from a file at each connect."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.endurance.outages.following import following
from tests.endurance.outages.survival import everything_once
from tests.kit.events import events
from tests.kit.vault import Vault

LOGIN = "changing_worker"


@pytest.fixture
def worker(vault: Vault) -> object:
    """A login of its own, since logins are the server's and other tests use theirs."""
    vault.sql(f"CREATE ROLE {LOGIN} LOGIN PASSWORD 'Wort-1' IN ROLE vault_etl_ingest")
    yield LOGIN
    vault.sql(f"DROP ROLE {LOGIN}")


@pytest.mark.usefixtures("worker")
def test_a_worker_outlives_the_change_of_its_password(vault: Vault, tmp_path: Path) -> None:
    """File first or server first: it goes on by itself, and nothing is lost."""
    file = tmp_path / "password"
    file.write_text("Wort-1\n", "utf-8")
    url = f"postgresql://{LOGIN}@127.0.0.1:{vault.server.port}/{vault.database}"
    with following(
        vault, VAULT_ETL_DATABASE_URL=url, VAULT_ETL_DATABASE_PASSWORD=f"file:{file}"
    ) as run:
        run.until_ready()
        file.write_text("Wort-2\n", "utf-8")
        _change(vault, "Wort-2")
        vault.send(events(3))
        run.until_settled(3)
        assert "denied" not in run.was_away()
        _change(vault, "Wort-3")
        vault.send(events(3))
        run.until_away("denied")
        file.write_text("Wort-3\n", "utf-8")
        run.until_ready()
        run.until_settled(6)
        everything_once(run, 6)
        assert "Wort-" not in run.stderr


def _change(vault: Vault, password: str) -> None:
    """Change the password, and end every session that was made with the old one, as a failover does."""
    vault.sql(f"ALTER ROLE {LOGIN} PASSWORD '{password}'")
    vault.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", LOGIN)
