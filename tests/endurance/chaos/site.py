"""The place of a chaos test: services, the proxies before them, and what is true behind those."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from tests.kit.tcp_proxy import HOST, TcpProxy
from tests.kit.vault import ROLES, Vault
from tests.kit.vaults import install
from vault_etl.declaration.model import Declaration
from vault_etl.local.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.local.provision import Credentials, EmulatorSession, Provisioned, provision_resources

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient

ACCOUNTS = itertools.count(40)
"""LocalStack takes an access key of twelve digits for an account: each site has one, with nothing else in it."""

FOLLOW_WAIT_S = 2
"""Of one long poll: messages that a killed worker had asked for reach no worker, for so long."""

LEASE_S = 10
"""Of a data key. A day would be usual: then KMS would be asked when a worker starts, and no more."""

SETTINGS = {
    "VAULT_ETL_FOLLOW_WAIT": str(FOLLOW_WAIT_S),
    "VAULT_ETL_LEASE_HOURS": str(LEASE_S / 3600),
    "VAULT_ETL_LOG_FORMAT": "json",
}


class Service(StrEnum):
    """A service behind a proxy."""

    SQS = "SQS"
    KMS = "KMS"
    POSTGRES = "Postgres"


@dataclass(frozen=True, slots=True)
class Site:
    """`vault` reaches everything directly; `through_proxies` is what ingest gets."""

    vault: Vault
    declaration: Declaration
    postgres: EmbeddedPostgres
    proxies: Mapping[Service, TcpProxy]
    sqs: SQSClient
    """One for all threads: making one is for one thread alone."""

    def through_proxies(self) -> dict[str, str]:
        """The environment of ingest."""
        parts = urlsplit(self.vault.database_url("ingest"))
        login = parts.netloc.rpartition("@")[0]
        port = self.proxies[Service.POSTGRES].port
        return {
            **self.vault.environment("ingest"),
            "VAULT_ETL_DATABASE_URL": urlunsplit(parts._replace(netloc=f"{login}@{HOST}:{port}")),
            "AWS_ENDPOINT_URL_SQS": f"http://{HOST}:{self.proxies[Service.SQS].port}",
            "AWS_ENDPOINT_URL_KMS": f"http://{HOST}:{self.proxies[Service.KMS].port}",
        }

    def depth(self) -> tuple[int, int, int]:
        """Visible, in flight, delayed."""
        return self._depth(self.vault.provisioned.queue_url)

    def in_flight(self) -> int:
        """Count the messages that a worker has received and not settled."""
        return self.depth()[1]

    def dead_letters(self) -> int:
        """Count the messages in the dead-letter queue."""
        return sum(self._depth(self.vault.provisioned.dead_letter_url))

    def settled(self) -> int:
        """Count the messages that are stored or quarantined."""
        return self.stored() + self.vault.count("quarantine")

    def stored(self) -> int:
        """Count the records of all events."""
        return sum(self.vault.count(event.name) for event in self.declaration.events)

    def set_visibility(self, seconds: int) -> None:
        """Set the queue's visibility timeout: messages that a killed worker held are seen again after it."""
        self.sqs.set_queue_attributes(
            QueueUrl=self.vault.provisioned.queue_url,
            Attributes={"VisibilityTimeout": str(seconds)},
        )

    def _depth(self, queue_url: str) -> tuple[int, int, int]:
        attributes = self.sqs.get_queue_attributes(QueueUrl=queue_url, AttributeNames=["All"])[
            "Attributes"
        ]
        return (
            int(attributes["ApproximateNumberOfMessages"]),
            int(attributes["ApproximateNumberOfMessagesNotVisible"]),
            int(attributes["ApproximateNumberOfMessagesDelayed"]),
        )

    def crash_postgres(self) -> None:
        """`pg_ctl stop -m immediate`: no session is let finish, and nothing is written."""
        server = self.postgres._server()
        assert server is not None
        server._control("stop", "-m", "immediate")

    def start_postgres(self) -> None:
        """Start it again, which recovers what was acknowledged."""
        assert self.postgres.start().port == self.vault.server.port


def prepared(
    server: RunningPostgres, endpoint: str, home: Path, settings: Mapping[str, str]
) -> Vault:
    """A vault on this server and this emulator: logins, tables, queues as the template has them, keys."""
    credentials = Credentials(f"{next(ACCOUNTS):012d}", "test")
    resources = provision_resources(EmulatorSession(endpoint, credentials))
    provisioned = Provisioned(
        resources.queue_url,
        resources.dead_letter_url,
        resources.key_arns,
        dict.fromkeys((*ROLES, "admin", "operator"), credentials),
    )
    vault = Vault(server, "vault_etl", endpoint, provisioned, home, {**SETTINGS, **settings})
    install(vault)
    vault.renew_queue()
    return vault
