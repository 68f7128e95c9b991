"""Fixtures that the tests of least privilege share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.vault import Vault
from tests.kit.vaults import copied


@pytest.fixture(scope="module")
def shared_vault(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault of one module's tests, with token keys and an empty queue."""
    with copied(keyed, tmp_path_factory.mktemp("home")) as vault:
        vault.overrides["VAULT_ETL_DRAIN_WAIT"] = "0"
        vault.set_policy({"reveals_an_hour": 1_000_000, "purposes": {}})
        vault.renew_queue()
        yield vault
