"""The commands of docs/from-the-exercise.md work beside the exercise's table, on a queue of the exercise's name."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

from tests.kit.databases import empty
from tests.kit.vault import Vault, emulator_session, sample_events
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.postgres_server import find_postgres_binaries
from vault_etl.local.provision import Provisioned

PAGE = Path(__file__).parents[2] / "docs" / "from-the-exercise.md"
THEIR_TABLE = """
CREATE TABLE public.user_logins (
    user_id varchar(128), device_type varchar(32), masked_ip varchar(256), masked_device_id varchar(256),
    locale varchar(32), app_version integer, create_date date
)
"""


def block_with(line: str) -> str:
    """The block of the page that has this line."""
    page = PAGE.read_text(encoding="utf-8")
    (block,) = [
        block
        for block in re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        if line in block.splitlines()
    ]
    return str(block)


def test_their_messages_are_loaded_beside_their_table(
    postgres: RunningPostgres, moto: tuple[str, Provisioned], tmp_path: Path
) -> None:
    """The last block of the page: as a superuser and with any key of the emulator, from the queue `login-queue`."""
    with empty(postgres) as database:
        vault = Vault(postgres, database.name, *moto, tmp_path)
        vault.sql(THEIR_TABLE)
        admin = vault.provisioned.credentials["admin"]
        sqs = emulator_session(vault.endpoint, admin).client("sqs")
        queue = sqs.create_queue(QueueName="login-queue")["QueueUrl"]
        theirs = dataclasses.replace(
            vault, provisioned=dataclasses.replace(vault.provisioned, queue_url=queue)
        )
        theirs.send(sample_events())
        variables = {
            "AWS_ENDPOINT_URL": vault.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": admin.access_key_id,
            "AWS_SECRET_ACCESS_KEY": admin.secret_access_key,
            "VAULT_ETL_QUEUE_URL": queue,
            "VAULT_ETL_DATABASE_URL": vault.database_url("admin"),
        }
        named = re.findall(
            r"(\w+)=", block_with("export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test")
        )
        assert set(named) == variables.keys()
        path = [Path(sys.executable).parent, find_postgres_binaries().bin]
        done = subprocess.run(
            ["/bin/sh", "-eu"],
            env={**variables, "PATH": os.pathsep.join([*map(str, path), os.defpath])},
            cwd=tmp_path,
            input=block_with("vault-etl migrate"),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert '"stored": 99, "duplicates": 0, "quarantined": 1' in done.stdout
        assert vault.sql("SELECT count(*) FROM public.user_logins") == [(0,)]
        ((version, day),) = vault.sql(
            "SELECT max(app_version), count(create_date) FROM vault_etl.user_logins"
        )
        assert (len(version.split(".")) > 1, day) == (True, 99)
        sqs.delete_queue(QueueUrl=queue)
