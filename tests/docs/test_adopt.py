"""The commands of docs/how-to/adopt.md work, on its table and its events, in their order."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.kit.databases import empty
from tests.kit.pages import documented, shell
from tests.kit.vault import Vault
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Provisioned

PAGE = "how-to/adopt.md"


def test_the_steps_of_the_page_work(
    postgres: RunningPostgres, moto: tuple[str, Provisioned], tmp_path: Path
) -> None:
    """Hashes become records, and each step prints what the page shows."""
    with empty(postgres) as database:
        vault = Vault(postgres, database.name, *moto, tmp_path)
        (table, view), (events,) = documented(PAGE, "sql"), documented(PAGE, "json")
        vault.sql(f"SET search_path = public; {table}")
        vault.sql(
            "INSERT INTO public.user_logins VALUES ('u1', 'android', 'a', 'b', 'RU', 230, '2026-11-01')"
        )
        (tmp_path / "logins.jsonl").write_text(events, encoding="utf-8")
        migrate, *others = documented(PAGE, "sh")
        done = [_run(vault, migrate)]
        vault.sql(f"SET search_path = public; {view}")
        done += [_run(vault, block) for block in others]
        assert [each.returncode for each in done] == [0, 0, 0, 0], done
        assert '"stored": 2, "duplicates": 0, "quarantined": 0' in done[1].stdout
        counted = [
            [cell.strip() for cell in line.split("|")] for line in done[2].stdout.splitlines()
        ]
        assert ["token", "2", "1"] in counted
        assert ["unkeyed hash", "1", "1"] in counted
        assert vault.count("user_logins") == 2
        assert vault.sql("SELECT to_regclass('public.user_logins')") == [(None,)]


def _run(vault: Vault, block: str) -> subprocess.CompletedProcess[str]:
    roles = {
        "DEPLOYER": "admin",
        "RE_ENCRYPT": "re-encrypt",
        "INGEST": "ingest",
        "ANALYST": "analyst",
    }
    urls = {name: vault.database_url(role) for name, role in roles.items()}
    return shell(block, {**vault.environment("admin"), **urls}, vault.home)
