"""Each suite runs on the fake and on the real adapter: what one promises, the other keeps."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import COPY, TEMPLATE, admin
from tests.contract.bench import Bench, FakeBench, PostgresBench
from tests.vault import Vault
from vault_etl.adapters.embedded.aws_session import EmulatorSession
from vault_etl.adapters.embedded.postgres import RunningPostgres
from vault_etl.adapters.embedded.provision import Provisioned
from vault_etl.adapters.resources import resource_dir

NO_EMULATOR = Provisioned("", "", {}, {})


@pytest.fixture
def database(postgres: RunningPostgres, tmp_path: Path) -> Iterator[Vault]:
    """A migrated database alone: no queue and no KMS, which take longer to make."""
    name = f"contract_{uuid.uuid4().hex[:12]}"
    with admin(postgres, "postgres") as cursor:
        cursor.execute(f'CREATE DATABASE "{name}" TEMPLATE "{TEMPLATE}" {COPY}')
    # The rights on the database itself are not copied from a template.
    roles = resource_dir("migrations") / "0001_roles.sql"
    with admin(postgres, name) as cursor:
        cursor.execute(roles.read_text(encoding="utf-8"))
    yield Vault(postgres, name, "", NO_EMULATOR, tmp_path)
    with admin(postgres, "postgres") as cursor:
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(scope="module")
def sqs(moto: tuple[str, Provisioned]) -> Any:  # noqa: ANN401 - a client of boto3
    """An SQS client of the emulator's administrator."""
    endpoint, provisioned = moto
    return EmulatorSession(endpoint, provisioned.credentials["admin"]).client("sqs")


@pytest.fixture(params=["fake", "postgres"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    """An empty vault, without keys."""
    if request.param == "fake":
        yield FakeBench()
        return
    real = PostgresBench(request.getfixturevalue("database"))
    yield real
    real.close()
