"""The scheduled commands of deploy/aws/stack.yaml, by the logins that docs/deploy-aws.md makes, as tasks run them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy.aws.templates import jobs
from tests.kit.vault import Vault
from vault_etl.local.postgres_server import find_postgres_binaries

PAGE = Path(__file__).parents[3] / "docs" / "deploy-aws.md"
LOGINS = ("iam_ingest", "scheduled_rotate", "scheduled_audit", "scheduled_erase", "ana_re_encrypt")


@pytest.fixture
def set_up(vault: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with the logins that step 4 of the page makes; the password of each is `of-` and its secret's name."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "aws").write_text('#!/bin/sh\necho "of-$4"\n', encoding="utf-8")
    (programs / "aws").chmod(0o755)
    (programs / "psql").symlink_to(find_postgres_binaries().bin / "psql")
    block = re.search(
        r'^psql "\$VAULT_ETL_DATABASE_URL" --set.*?^SQL$',
        PAGE.read_text(),
        re.MULTILINE | re.DOTALL,
    )
    assert block is not None
    vault.sql("CREATE ROLE rds_iam")
    try:
        subprocess.run(
            ["/bin/bash", "-c", block[0]],
            env={
                "PATH": f"{programs}:{os.defpath}",
                "VAULT_ETL_DATABASE_URL": vault.database_url("admin"),
            },
            check=True,
        )
        yield vault
    finally:
        for login in (*LOGINS, "rds_iam"):
            vault.sql(f"DROP ROLE IF EXISTS {login}")


def test_each_scheduled_command_succeeds_on_a_vault_in_use(set_up: Vault) -> None:
    """Each of them ends with 0, the first checkpoint before them: any other code alarms people."""
    run = jobs()
    for name in ("Checkpoint", *run):
        job = run[name]
        role = job["Role"].removeprefix("vault-etl-")
        address = set_up.database_url("admin").rpartition("@")[2]
        port, database = re.fullmatch(r"127\.0\.0\.1:(\d+)/(\w+)", address).groups()  # type: ignore[union-attr]
        task = {
            # As through a tunnel: the name is the database's, and the address this machine's.
            "VAULT_ETL_DATABASE_URL": (
                f"postgresql://{job['Login']}@db.internal:{port}/{database}?hostaddr=127.0.0.1"
            ),
            "PGPASSWORD": f"of-vault-etl/{job['Login']}",
            "VAULT_ETL_SCHEMA_FILE": "",
        }
        done = set_up.run(role, *job["Command"].split(","), extra=task)
        assert done.code == 0, (name, done.stderr)
