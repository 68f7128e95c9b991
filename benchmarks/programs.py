"""The programs that load the queue: vault-etl and its peers."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.sqs.process import ServedQueue

CONSUMER: Final = Path(__file__).parent / "peers" / "consumer" / "consumer.mjs"


@dataclass(frozen=True, slots=True)
class Setting:
    """The delay and the encryption of the queue."""

    name: str
    delay_ms: int = 0
    tls: bool = False

    @property
    def concurrency(self) -> int:
        """The threads or consumers of a peer: enough to keep it busy in spite of the delay."""
        return 4 + 2 * self.delay_ms


@dataclass(frozen=True, slots=True)
class Program:
    """A program that loads the queue into `table` of a copy of `database`, and ends when the queue is empty."""

    name: str
    arguments: Sequence[str]
    database: str = "peers"
    role: str = "admin"
    table: str = "public.sealed_logins"
    one_at_a_time: bool = False

    @property
    def asks_kms(self) -> bool:
        """True for vault-etl: the keys of the peers are random."""
        return self.database == "vault_etl"

    def events(self, most: int, setting: Setting) -> int:
        """Return how many events to load: a few where each is a transaction, half of them in settings beside the first.

        Node compiles what it has run for a while, so that its runs must not be short. vault-etl has up to 10,000
        messages in flight: less than a quarter of `most` of a full bench.
        """
        if self.one_at_a_time:
            return most // 40
        if self.asks_kms:
            return most
        return most // 4 if setting.delay_ms or setting.tls else most // 2

    def environment(
        self,
        settings: Mapping[str, str],
        setting: Setting,
        queue: ServedQueue,
        authority: Path | None,
    ) -> Mapping[str, str]:
        """Return the variables of a run. `authority` is the folder of the certificate to trust."""
        trusted = str(authority / "ca.pem") if authority else None
        return {
            **settings,
            "AWS_ENDPOINT_URL_SQS": queue.endpoint,
            "VAULT_ETL_QUEUE_URL": queue.queue_url,
            "QUEUE_URL": queue.queue_url,
            "DATABASE_URL": settings["VAULT_ETL_DATABASE_URL"],
            "CONCURRENCY": str(setting.concurrency),
            "NODE_NO_WARNINGS": "1",
            **({"AWS_CA_BUNDLE": trusted, "NODE_EXTRA_CA_CERTS": trusted} if trusted else {}),
        }


_PYTHON: Final = (sys.executable, "-m")
_INGEST: Final = (*_PYTHON, "vault_etl", "ingest", "--quiet")
_VAULT: Final = ("vault_etl", "operator", "vault_etl.user_logins")
VAULT: Final = Program("vault-etl", _INGEST, *_VAULT)
TWO: Final = Program("vault-etl, two processes", (*_INGEST, "--workers", "2"), *_VAULT)
TAKE_HOME: Final = Program(
    "a message at a time",
    (*_PYTHON, "benchmarks.peers.take_home"),
    table="public.user_logins",
    one_at_a_time=True,
)
THREADS: Final = Program("boto3 threads", (*_PYTHON, "benchmarks.peers.threads"))
NODE: Final = Program("sqs-consumer", ("node", str(CONSUMER)))


def node_runs() -> bool:
    """Tell whether the peer on Node can run. If not, standard error says why it is left out."""
    if shutil.which("node") is None:
        sys.stderr.write("sqs-consumer is left out: there is no Node\n")
        return False
    if not CONSUMER.with_name("node_modules").is_dir():
        sys.stderr.write("sqs-consumer is left out: `make bench` installs its packages\n")
        return False
    return True
