"""Vaults to rotate: copies of one that has keys and a few records, in several months."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.endurance.chaos.site import prepared
from tests.kit.bench import Bench, FakeBench
from tests.kit.benches import NO_EMULATOR, postgres_bench
from tests.kit.cut_over import Ready, ready
from tests.kit.databases import TEMPLATE, clone, database_copy, empty
from tests.kit.declarations import DEFAULT, SHOP
from tests.kit.vault import Vault
from tests.kit.vaults import KeyedOf, copied
from tests.rotation.events import MONTHS, RECORDS, SETTINGS, dated_events, load_file
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName
from vault_etl.declaration.model import Declaration
from vault_etl.local.emulator import Emulator
from vault_etl.local.postgres import EmbeddedPostgres, RunningPostgres
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_migrations import PostgresMigrations

POLICY = {"reveals_an_hour": 1_000_000, "purposes": {}}


@pytest.fixture(scope="session")
def migrated_for(postgres: RunningPostgres) -> Iterator[Callable[[Declaration], str]]:
    """The names of databases that are migrated for a declaration, to be copied. Each is made when it is asked for."""
    made = {DEFAULT: TEMPLATE}
    with ExitStack() as opened:

        def name_of(declaration: Declaration) -> str:
            if declaration not in made:
                scratch = opened.enter_context(empty(postgres))
                with scratch.database("admin") as database:
                    folder = resource_dir("migrations")
                    PostgresMigrations(database, folder, declaration=declaration).apply()
                made[declaration] = scratch.name
            return made[declaration]

        yield name_of


@pytest.fixture(
    params=[
        pytest.param(("fake", DEFAULT), id="fake-logins"),
        pytest.param(("postgres", DEFAULT), id="postgres-logins"),
        pytest.param(("fake", SHOP), id="fake-shop"),
        pytest.param(("postgres", SHOP), id="postgres-shop", marks=pytest.mark.declared),
    ]
)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """An empty vault of each declaration, without keys."""
    kind, declaration = request.param
    if kind == "fake":
        yield FakeBench(declaration)
        return
    server = request.getfixturevalue("postgres")
    template = request.getfixturevalue("migrated_for")(declaration)
    with database_copy(server, template) as name:
        database = Vault(server, name, "", NO_EMULATOR, tmp_path)
        with postgres_bench(database, declaration) as real:
            yield real


@pytest.fixture(params=["ip", "other", QUARANTINE])
def field(request: pytest.FixtureRequest, bench: Bench) -> FieldName:
    """A field of data keys: `ip`, another field of the same rows, or the quarantine."""
    return bench.field(request.param)


@pytest.fixture(params=["event", "quarantine"])
def place(request: pytest.FixtureRequest, bench: Bench) -> EventName:
    """A table of ciphertexts."""
    return bench.event.name if request.param == "event" else QUARANTINE_TABLE


@pytest.fixture(scope="session")
def rotation_keyed(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with token keys and a policy, to be copied: no session may stay in it."""
    with copied(keyed, tmp_path_factory.mktemp("keyed")) as vault:
        vault.overrides.update(SETTINGS)
        vault.set_policy(POLICY)
        yield vault


@pytest.fixture(scope="session")
def rotation_loaded(
    rotation_keyed: Vault, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vault]:
    """A vault with `RECORDS` records and a quarantined message, to be copied."""
    with copied(rotation_keyed, tmp_path_factory.mktemp("loaded")) as vault:
        load_file(vault, [*dated_events(RECORDS, MONTHS), "not json"])
        yield vault


@pytest.fixture(scope="session")
def of_two_loads(
    rotation_keyed: Vault, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vault]:
    """A vault with as many "new" records as "old" ones, in later months, under other keys: to be copied."""
    with copied(rotation_keyed, tmp_path_factory.mktemp("two")) as vault:
        load_file(vault, dated_events(RECORDS, MONTHS, prefix="old", back=MONTHS))
        load_file(vault, dated_events(RECORDS, MONTHS, prefix="new"))
        yield vault


@pytest.fixture
def two(of_two_loads: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with records of two loads, each under data keys of its own. The old ones are rotated first."""
    with copied(of_two_loads, tmp_path) as vault:
        yield vault


@pytest.fixture
def rotation_empty(
    request: pytest.FixtureRequest, keyed_of: KeyedOf, tmp_path: Path
) -> Iterator[Vault]:
    """A vault with token keys and a policy, without records, and an empty queue. A parameter is its declaration."""
    with copied(keyed_of(getattr(request, "param", DEFAULT)), tmp_path) as vault:
        vault.overrides.update(SETTINGS)
        vault.set_policy(POLICY)
        vault.renew_queue()
        yield vault


@pytest.fixture
def rotation_filled(rotation_loaded: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with `RECORDS` records, a quarantined message, and an empty queue."""
    with copied(rotation_loaded, tmp_path) as vault:
        vault.renew_queue()
        yield vault


@pytest.fixture(scope="session")
def ready_to_cut_over(postgres: RunningPostgres) -> Iterator[Ready]:
    """A database in which everything is ready for a cut-over, to be copied: no session may stay in it."""
    with clone(postgres) as database:
        yield ready(database)


@pytest.fixture
def to_cut_over(ready_to_cut_over: Ready) -> Iterator[Ready]:
    """A vault that is ready for a cut-over."""
    original = ready_to_cut_over.scratch
    with empty(original.server, original.name) as copy:
        yield dataclasses.replace(ready_to_cut_over, scratch=copy)


@pytest.fixture
def large(localstack: Emulator, tmp_path: Path) -> Iterator[Vault]:
    """A vault for the long forms: a durable Postgres, and a LocalStack, whose queue may be deep."""
    embedded = EmbeddedPostgres(tmp_path / "postgres")
    try:
        vault = prepared(embedded.start(), localstack.endpoint, tmp_path, {})
        vault.overrides.clear()
        vault.overrides.update(SETTINGS)
        vault.register_audit_key()
        vault.set_policy(POLICY)
        yield vault
    finally:
        embedded.destroy()
