"""Whole vaults: with keys, with records; each made once by the real commands, and copied for each test."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.kit.databases import TEMPLATE, database_copy, make_logins
from tests.kit.declarations import DEFAULT, SHOP, SHOP_TOML
from tests.kit.events import events
from tests.kit.vault import Vault, sample_events
from vault_etl.declaration.model import Declaration
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Provisioned

IMPATIENT = {"VAULT_ETL_DRAIN_WAIT": "0"}
"""The emulator brings what it has at once: a drain need not wait."""


@pytest.fixture(scope="session")
def signed(
    postgres: RunningPostgres,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vault]:
    """A migrated database whose audit key is registered, to be copied: no session may stay in it."""
    template = Vault(postgres, TEMPLATE, *moto, tmp_path_factory.mktemp("signed"))
    with copied(template, template.home) as vault:
        vault.register_audit_key()
        yield vault


@pytest.fixture(scope="session")
def keyed(signed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault to be copied that has token keys too, made by the real command."""
    with copied(signed, tmp_path_factory.mktemp("keyed")) as vault:
        vault.ok("re-encrypt", "keys", "init")
        yield vault


KeyedOf = Callable[[Declaration], Vault]


@pytest.fixture(scope="session")
def keyed_of(
    signed: Vault, keyed: Vault, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[KeyedOf]:
    """The vaults with keys to be copied, by the declarations `BOTH`: the shop's is made when it is asked for."""
    made = {DEFAULT: keyed}
    with ExitStack() as opened:

        def of(declaration: Declaration) -> Vault:
            if declaration not in made:
                assert declaration is SHOP
                shop = declared_vault(signed, tmp_path_factory.mktemp("shop"), SHOP_TOML)
                made[declaration] = opened.enter_context(shop)
            return made[declaration]

        yield of


@pytest.fixture
def bare_vault(signed: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A migrated database whose audit key is registered, and an empty queue, without token keys."""
    with copied(signed, tmp_path) as vault:
        vault.renew_queue()
        yield vault


@pytest.fixture
def vault(keyed: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with token keys and an empty queue, ready for `ingest`."""
    with copied(keyed, tmp_path) as vault:
        vault.renew_queue()
        yield vault


@pytest.fixture(scope="session")
def loaded(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with the 100 samples in it, for tests that only look."""
    with filled_vault(keyed, tmp_path_factory.mktemp("loaded"), sample_events()) as vault:
        yield vault


@pytest.fixture
def quick(vault: Vault) -> Vault:
    """A vault whose drains do not wait for more."""
    vault.overrides.update(IMPATIENT)
    return vault


@pytest.fixture(scope="session")
def three(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with three records and a quarantined message, to be copied: no session may stay in it."""
    with copied(keyed, tmp_path_factory.mktemp("three")) as vault:
        vault.overrides.update(IMPATIENT)
        vault.renew_queue()
        vault.send([*events(3), "not json"])
        vault.ok("ingest", "ingest")
        yield vault


@pytest.fixture
def filled(three: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with three records, a quarantined message, and an empty queue."""
    with copied(three, tmp_path) as vault:
        vault.renew_queue()
        yield vault


def install(vault: Vault) -> None:
    """Make an empty database a whole vault by the real commands: tables, a login for each role, token keys."""
    vault.ok("admin", "migrate")
    make_logins(vault.server, vault.database)
    vault.ok("re-encrypt", "keys", "init")


@contextmanager
def declared_vault(signed: Vault, home: Path, text: str) -> Iterator[Vault]:
    """An empty vault of a declaration, with keys and an empty queue, whose drains do not wait for more."""
    path = home / "vault-etl.schema.toml"
    path.write_text(text, encoding="utf-8")
    with database_copy(signed.server, "template1") as database:
        settings = {**IMPATIENT, "VAULT_ETL_SCHEMA_FILE": str(path)}
        vault = dataclasses.replace(signed, database=database, home=home, overrides=settings)
        vault.ok("admin", "migrate")
        vault.register_audit_key()
        vault.ok("re-encrypt", "keys", "init")
        vault.renew_queue()
        yield vault


@contextmanager
def copied(template: Vault, home: Path) -> Iterator[Vault]:
    """A copy of a vault's database, which is dropped afterwards."""
    with database_copy(template.server, template.database) as database:
        overrides = dict(template.overrides)
        yield dataclasses.replace(template, database=database, home=home, overrides=overrides)


@contextmanager
def filled_vault(keyed: Vault, home: Path, bodies: Iterable[str]) -> Iterator[Vault]:
    """A copy of a vault with keys, with no quota that matters, into which these bodies are loaded."""
    with copied(keyed, home) as vault:
        fill(vault, bodies)
        yield vault


def fill(vault: Vault, bodies: Iterable[str]) -> None:
    """Load these bodies into a vault with keys; from now on no quota matters."""
    vault.overrides["VAULT_ETL_DRAIN_WAIT"] = "0"
    vault.set_policy({"reveals_an_hour": 100_000, "purposes": {}})
    vault.renew_queue()
    vault.send(bodies)
    vault.ok("ingest", "ingest")
