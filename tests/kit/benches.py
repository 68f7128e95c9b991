"""Each suite runs on the fake and on the real adapter: what one promises, the other keeps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.kit.aws_clients import aws_clients
from tests.kit.bench import Bench, FakeBench
from tests.kit.bench_postgres import PostgresBench
from tests.kit.databases import TEMPLATE, database_copy
from tests.kit.declarations import DEFAULT
from tests.kit.vault import Vault
from vault_etl.declaration.model import Declaration
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import EmulatorSession, Provisioned
from vault_etl.platform.aws import AwsClients

NO_EMULATOR = Provisioned("", "", {}, {})


@pytest.fixture
def database(postgres: RunningPostgres, tmp_path: Path) -> Iterator[Vault]:
    """A migrated database alone: no queue and no KMS, which take longer to make."""
    with database_copy(postgres, TEMPLATE) as name:
        yield Vault(postgres, name, "", NO_EMULATOR, tmp_path)


@pytest.fixture(scope="module")
def sqs(moto: tuple[str, Provisioned]) -> Any:  # noqa: ANN401 - a client of boto3
    """An SQS client of the emulator's administrator."""
    endpoint, provisioned = moto
    return EmulatorSession(endpoint, provisioned.credentials["admin"]).client("sqs")


@pytest.fixture(scope="module")
def clients(moto: tuple[str, Provisioned]) -> Iterator[AwsClients]:
    """Clients of the emulator's administrator, made from settings."""
    endpoint, provisioned = moto
    with aws_clients(endpoint, provisioned.credentials["admin"]) as made:
        yield made


@pytest.fixture(params=["fake", "postgres"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An empty vault, without keys."""
    if request.param == "fake":
        yield FakeBench()
        return
    with postgres_bench(request.getfixturevalue("database"), DEFAULT) as real:
        yield real


@contextmanager
def postgres_bench(database: Vault, declaration: Declaration) -> Iterator[PostgresBench]:
    """A bench over a database that was migrated for the declaration."""
    real = PostgresBench(database, declaration)
    try:
        yield real
    finally:
        real.close()
