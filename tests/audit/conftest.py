"""A log that was written honestly, copied for each test that changes it; and a vault for the real command."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.audit.logbook import Logbook
from tests.audit.people import ADDRESSES, DEVICE
from tests.kit.databases import clone, empty
from tests.kit.events import event
from tests.kit.fakes.checkpoints import FakeHeadSigner
from tests.kit.scratch import Scratch
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault
from vault_etl.local.postgres import RunningPostgres

POLICY = '{"reveals_an_hour": 100000, "purposes": {}}'


@pytest.fixture(scope="session")
def written(postgres: RunningPostgres) -> Iterator[Logbook]:
    """Entries 1 and 2 register a key, 3 and 4 set a policy, 5 to 14 are accesses, each with its checkpoint."""
    with clone(postgres) as database:
        logbook = Logbook(database, FakeHeadSigner())
        logbook.register()
        logbook.set_policy(POLICY)
        for _ in range(5):
            logbook.look()
        yield logbook


@pytest.fixture
def log(written: Logbook) -> Iterator[Logbook]:
    """A copy of the honest log."""
    with empty(written.database.server, written.database.name) as copy:
        yield Logbook(copy, written.signer)


@pytest.fixture(scope="module")
def site(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with three records, loaded by the real commands."""
    bodies = [event(ip=address, device_id=DEVICE) for address in ADDRESSES]
    with filled_vault(keyed, tmp_path_factory.mktemp("site"), bodies) as vault:
        yield vault


@pytest.fixture
def record_id(site: Vault) -> str:
    """A record of the vault."""
    ((found,),) = site.sql("SELECT min(record_id::text) FROM user_logins")
    return str(found)


@pytest.fixture
def scratch(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A migrated database without a key or a policy."""
    with clone(postgres) as database:
        yield database
