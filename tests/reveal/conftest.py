"""A vault whose records and their users are known, for tests of many looks at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cli.events import event
from tests.filled_vault import filled_vault
from tests.vault import Vault
from vault_etl.adapters.embedded.postgres import RunningPostgres
from vault_etl.adapters.embedded.provision import Provisioned

GENEROUS = {"reveals_an_hour": 1_000_000, "purposes": {}}
FORMULA = '=HYPERLINK("http://example.test")'
BODIES = (
    event(user_id="ann", ip="198.51.100.1", device_id=FORMULA),
    event(user_id="ann", ip="198.51.100.2", device_id="'quoted, with a comma"),
    event(user_id="bob", ip="198.51.100.1", device_id="a plain one"),
)


@pytest.fixture(scope="module")
def many(
    postgres: RunningPostgres,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vault]:
    """The vault that holds them."""
    with filled_vault(postgres, moto, tmp_path_factory.mktemp("many"), BODIES) as vault:
        yield vault


@pytest.fixture
def ids(many: Vault) -> list[str]:
    """The records, those of ann first."""
    return [i for (i,) in many.sql("SELECT record_id::text FROM user_logins ORDER BY user_id, 1")]


@pytest.fixture
def limited(many: Vault) -> Iterator[Vault]:
    """The vault, whose policy is as it was afterwards."""
    yield many
    many.set_policy(GENEROUS)
