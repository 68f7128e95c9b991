"""Vaults to rotate: copies of one that has keys and a few records, in several months."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.chaos.site import prepared
from tests.conftest import TEMPLATE, admin
from tests.rotation.events import SETTINGS, dated_events, load_file
from tests.vault import Vault
from vault_etl.adapters.embedded.emulator import Emulator
from vault_etl.adapters.embedded.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.adapters.embedded.provision import Provisioned
from vault_etl.adapters.resources import resource_dir

POLICY = {"reveals_an_hour": 1_000_000, "purposes": {}}
RECORDS = 24
MONTHS = 4
"""Of the records: each month is a range of its own."""


@pytest.fixture(scope="session")
def keyed(
    postgres: RunningPostgres,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vault]:
    """A vault with token keys, to be copied: nobody may stay connected to it."""
    endpoint, provisioned = moto
    home = tmp_path_factory.mktemp("keyed")
    with copied(Vault(postgres, TEMPLATE, endpoint, provisioned, home, dict(SETTINGS))) as vault:
        vault.register_audit_key()
        vault.set_policy(POLICY)
        vault.ok("re-encrypt", "keys", "init")
        yield vault


@pytest.fixture(scope="session")
def loaded(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """With `RECORDS` records in it, and a quarantined message: to be copied."""
    with copied(keyed, tmp_path_factory.mktemp("loaded")) as vault:
        load_file(vault, [*dated_events(RECORDS, MONTHS), "not json"])
        yield vault


@pytest.fixture(scope="session")
def of_two_loads(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """With as many records of "old" users as of "new" ones, of later months, under other data keys: to be copied."""
    with copied(keyed, tmp_path_factory.mktemp("two")) as vault:
        load_file(vault, dated_events(RECORDS, MONTHS, prefix="old", back=MONTHS))
        load_file(vault, dated_events(RECORDS, MONTHS, prefix="new"))
        yield vault


@pytest.fixture
def two(of_two_loads: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with records of two loads, each under data keys of its own. The old ones are rotated first."""
    with copied(of_two_loads, tmp_path) as vault:
        yield vault


@pytest.fixture
def empty(keyed: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with token keys, without records, and an empty queue."""
    with copied(keyed, tmp_path) as vault:
        vault.renew_queue()
        yield vault


@pytest.fixture
def filled(loaded: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with `RECORDS` records, a quarantined message, and an empty queue."""
    with copied(loaded, tmp_path) as vault:
        vault.renew_queue()
        yield vault


@pytest.fixture
def large(localstack: Emulator, tmp_path: Path) -> Iterator[Vault]:
    """A vault for the long forms: a durable Postgres, and a LocalStack, whose queue may be deep."""
    embedded = EmbeddedPostgres(tmp_path / "postgres")
    try:
        vault = prepared(embedded.start(), localstack.endpoint, tmp_path)
        vault.overrides.clear()
        vault.overrides.update(SETTINGS)
        vault.register_audit_key()
        vault.set_policy(POLICY)
        yield vault
    finally:
        embedded.destroy()


@contextmanager
def copied(template: Vault, home: Path | None = None) -> Iterator[Vault]:
    """A copy of a vault's database, which is dropped afterwards."""
    database = f"rotation_{uuid.uuid4().hex[:12]}"
    with admin(template.server, "postgres") as cursor:
        cursor.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template.database}"')
    # The rights on the database itself are not copied from a template.
    with admin(template.server, database) as cursor:
        cursor.execute((resource_dir("migrations") / "0001_roles.sql").read_text(encoding="utf-8"))
    try:
        yield dataclasses.replace(
            template,
            database=database,
            home=home or template.home,
            overrides=dict(template.overrides),
        )
    finally:
        with admin(template.server, "postgres") as cursor:
            cursor.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
