"""One Postgres, one emulator and one set of keys for all; a database and a queue for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.endurance.outages.crashable import Crashable, copy_of, make_template
from tests.endurance.outages.together import Together, together
from tests.kit.vault import Vault
from vault_etl.local.postgres import EmbeddedPostgres
from vault_etl.local.provision import Provisioned


@pytest.fixture(scope="session")
def crashable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crashable]:
    """A durable server that the tests may stop."""
    embedded = EmbeddedPostgres(tmp_path_factory.mktemp("crashable"))
    try:
        yield Crashable(embedded, embedded.start())
    finally:
        embedded.destroy()


@pytest.fixture(scope="session")
def template(
    crashable: Crashable,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Vault:
    """The vault of which each test's vault is a copy."""
    endpoint, provisioned = moto
    home = tmp_path_factory.mktemp("template")
    return make_template(crashable.running, endpoint, provisioned, home)


@pytest.fixture
def vault(template: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault with token keys and an empty queue."""
    with copy_of(template, tmp_path / "home") as made:
        yield made


@pytest.fixture(scope="module")
def cases(
    request: pytest.FixtureRequest, template: Vault, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Together]:
    """The module's `CASES` that were selected, all started: `AT_ONCE` at a time."""
    selected = {
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function)
        and item.path == request.path
        and "cases" in item.fixturenames
    }
    wanted = {name: case for name, case in request.module.CASES.items() if name in selected}
    home = tmp_path_factory.mktemp("cases")
    with together(template, home, wanted, request.module.AT_ONCE) as running:
        yield running
