"""The commands of docs/from-the-exercise.md work beside the exercise's table, on a queue of the exercise's name."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

from tests.kit.databases import empty
from tests.kit.pages import documented, shell
from tests.kit.vault import Vault, sample_events
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Provisioned

THEIR_TABLE = """
CREATE TABLE public.user_logins (
    user_id varchar(128), device_type varchar(32), masked_ip varchar(256), masked_device_id varchar(256),
    locale varchar(32), app_version integer, create_date date
)
"""


def block_with(line: str) -> str:
    """The block of the page that has this line."""
    (block,) = [
        block for block in documented("from-the-exercise.md", "sh") if line in block.splitlines()
    ]
    return block


def test_their_messages_are_loaded_beside_their_table(
    postgres: RunningPostgres, moto: tuple[str, Provisioned], tmp_path: Path
) -> None:
    """The last block of the page: as a superuser and with any key of the emulator, from the queue `login-queue`."""
    with empty(postgres) as database:
        vault = Vault(postgres, database.name, *moto, tmp_path)
        vault.sql(THEIR_TABLE)
        sqs = vault.emulator.client("sqs")
        queue = sqs.create_queue(QueueName="login-queue")["QueueUrl"]
        theirs = dataclasses.replace(
            vault, provisioned=dataclasses.replace(vault.provisioned, queue_url=queue)
        )
        theirs.send(sample_events())
        variables = {
            "AWS_ENDPOINT_URL": vault.endpoint,
            "AWS_REGION": "us-east-1",
            **vault.access_key("admin"),
            "VAULT_ETL_QUEUE_URL": queue,
            "VAULT_ETL_DATABASE_URL": vault.database_url("admin"),
        }
        named = re.findall(
            r"(\w+)=", block_with("export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test")
        )
        assert set(named) == variables.keys()
        done = shell(block_with("vault-etl migrate"), variables, tmp_path)
        assert done.returncode == 0, done.stderr
        assert '"stored": 99, "duplicates": 0, "quarantined": 1' in done.stdout
        assert vault.sql("SELECT count(*) FROM public.user_logins") == [(0,)]
        ((version, day),) = vault.sql(
            "SELECT max(app_version), count(create_date) FROM vault_etl.user_logins"
        )
        assert (len(version.split(".")) > 1, day) == (True, 99)
        sqs.delete_queue(QueueUrl=queue)
