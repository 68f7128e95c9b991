"""The commands of docs/how-to/adopt.md work, on its table and its events, in their order."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.kit.databases import empty
from tests.kit.vault import Vault
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.postgres_server import find_postgres_binaries
from vault_etl.local.provision import Provisioned

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "adopt.md"


def blocks(language: str) -> list[str]:
    """The blocks of the page in this language, in order."""
    page = PAGE.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def test_the_steps_of_the_page_work(
    postgres: RunningPostgres, moto: tuple[str, Provisioned], tmp_path: Path
) -> None:
    """Hashes become records, and each step prints what the page shows."""
    with empty(postgres) as database:
        vault = Vault(postgres, database.name, *moto, tmp_path)
        (table, view), (events,) = blocks("sql"), blocks("json")
        vault.sql(f"SET search_path = public; {table}")
        vault.sql(
            "INSERT INTO public.user_logins VALUES ('u1', 'android', 'a', 'b', 'RU', 230, '2026-11-01')"
        )
        (tmp_path / "logins.jsonl").write_text(events, encoding="utf-8")
        migrate, *others = blocks("sh")
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
    path = [Path(sys.executable).parent, find_postgres_binaries().bin]
    return subprocess.run(
        ["/bin/sh", "-eu"],
        env={
            **vault.environment("admin"),
            **{name: vault.database_url(role) for name, role in roles.items()},
            "PATH": os.pathsep.join([*map(str, path), os.defpath]),
        },
        cwd=vault.home,
        input=block,
        capture_output=True,
        text=True,
        check=False,
    )
