"""A Postgres of these tests' own, that writes to disk what it acknowledges, and can be stopped and crashed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kit.databases import copy_database
from tests.kit.vault import Vault
from tests.kit.vaults import install
from vault_etl.local.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.local.provision import Provisioned

TEMPLATE = "outage_template"
VISIBILITY_S = 30


@dataclasses.dataclass(frozen=True, slots=True)
class Crashable:
    """The server. It comes back on the same port."""

    embedded: EmbeddedPostgres
    running: RunningPostgres

    def stop(self, mode: str) -> None:
        """`pg_ctl stop`: "fast" ends every session first, "immediate" is a crash."""
        server = self.embedded._server()
        assert server is not None
        server._control("stop", "-m", mode)

    def start(self) -> None:
        """Start it again, which recovers what was acknowledged."""
        assert self.embedded.start().port == self.running.port


def make_template(
    server: RunningPostgres, endpoint: str, provisioned: Provisioned, home: Path
) -> Vault:
    """A migrated database with token keys, to be copied: no session may stay connected to the database."""
    Vault(server, "postgres", endpoint, provisioned, home).sql(f'CREATE DATABASE "{TEMPLATE}"')
    vault = Vault(server, TEMPLATE, endpoint, provisioned, home)
    install(vault)
    return vault


@contextmanager
def copy_of(template: Vault, home: Path, visibility: int = VISIBILITY_S) -> Iterator[Vault]:
    """A database and a queue of one test's own, with the template's keys.

    `visibility` is the queue's, in seconds. Its dead-letter queue gets a message after five receives.
    The database goes with its server: to drop one of a durable server costs it seconds.
    """
    name = copy_database(template.server, TEMPLATE, "wal_log")
    sqs = template.emulator.client("sqs")
    dead = sqs.create_queue(QueueName=f"{name}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"][
        "QueueArn"
    ]
    url = sqs.create_queue(
        QueueName=name,
        Attributes={
            "VisibilityTimeout": str(visibility),
            "RedrivePolicy": f'{{"deadLetterTargetArn": "{arn}", "maxReceiveCount": 5}}',
        },
    )["QueueUrl"]
    on_endpoint = template.emulator.on_endpoint
    credentials = template.provisioned.credentials
    provisioned = dataclasses.replace(
        template.provisioned,
        queue_url=on_endpoint(url),
        dead_letter_url=on_endpoint(dead),
        credentials={**credentials, "ingest": credentials["admin"]},  # its own are for one queue
    )
    home.mkdir(exist_ok=True)
    yield dataclasses.replace(template, database=name, provisioned=provisioned, home=home)
    for queue in (url, dead):
        sqs.delete_queue(QueueUrl=on_endpoint(queue))
