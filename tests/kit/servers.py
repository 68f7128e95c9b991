"""One PostgreSQL server and one emulator of AWS for each test process."""

from __future__ import annotations

import fcntl
import functools
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import botocore.session
import pytest

from tests.kit.databases import TEMPLATE, admin, make_logins
from tests.kit.declarations import EVERY_FIELD
from vault_etl.local.emulator import (
    Emulator,
    EmulatorName,
    install_localstack,
    start_localstack,
    start_moto,
)
from vault_etl.local.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.local.processes import give_away
from vault_etl.local.provision import Provisioned, provision
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_migrations import PostgresMigrations

MEMORY = Path("/dev/shm")  # noqa: S108 - a file system of Linux, and a folder of our own in it


NEEDED = 2 * 2**30
"""Bytes, of all test processes together."""


@pytest.fixture(scope="session")
def quick_place() -> Iterator[Path]:
    """Make the folder of the files of the tests' databases: in memory, if there is room.

    Each test's database is 450 files, made and deleted thousands of times. ext4 does not give the
    place of a deleted file away at once, and reads all of them for each new file: that was a third
    of the time of all tests.
    """
    is_roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > NEEDED
    place = Path(tempfile.mkdtemp(prefix="vault-etl-", dir=MEMORY if is_roomy else None))
    give_away(place)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(
    tmp_path_factory: pytest.TempPathFactory, quick_place: Path
) -> Iterator[RunningPostgres]:
    """A PostgreSQL server of this test process, with a login a role."""
    embedded = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), durable=False)
    try:
        running = embedded.start()
        with admin(running, "postgres") as cursor:
            cursor.execute(f"CREATE TABLESPACE quick LOCATION '{quick_place}'")
            cursor.execute(f'CREATE DATABASE "{TEMPLATE}" TABLESPACE quick')
        _migrate(running, TEMPLATE)
        make_logins(running, TEMPLATE)
        yield running
    finally:
        embedded.destroy()


@pytest.fixture(scope="session")
def moto(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Provisioned]]:
    """A moto server of this test process: its endpoint, and what was made in it.

    With `--emulator localstack` it is a LocalStack, which enforces no IAM policy. From now on AWS's models are
    read once in this process, instead of once for each session.
    """
    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    if request.config.getoption("--emulator") == EmulatorName.LOCALSTACK:
        endpoint = request.getfixturevalue("localstack").endpoint
        yield endpoint, provision(endpoint, EVERY_FIELD, authenticate=False)
        return
    emulator = start_moto(tmp_path_factory.mktemp("moto"))
    try:
        yield emulator.endpoint, provision(emulator.endpoint, EVERY_FIELD)
    finally:
        emulator.stop()


@pytest.fixture(scope="session")
def localstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """A real LocalStack of this test process. Its environment is made once, inside ours."""
    shared = Path(sys.prefix) / "localstack"
    shared.mkdir(exist_ok=True)
    own = tmp_path_factory.mktemp("localstack")
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install_localstack(shared)
    (own / "venv").symlink_to(shared / "venv")
    shutil.copy(shared / "requirements.sha256", own)
    emulator = start_localstack(own, lambda _: None)
    try:
        yield emulator
    finally:
        emulator.stop()


def _migrate(server: RunningPostgres, database: str) -> None:
    connection = Database(server.url("admin", database))
    PostgresMigrations(connection, resource_dir("migrations")).apply()
    connection.close()
