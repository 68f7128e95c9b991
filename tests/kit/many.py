"""A vault whose records and their users are known, for tests of many accesses at once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.events import event
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault

GENEROUS = {"reveals_an_hour": 1_000_000, "purposes": {}}


FORMULA = '=HYPERLINK("http://example.test")'


BODIES = (
    event(user_id="ann", ip="198.51.100.1", device_id=FORMULA),
    event(user_id="ann", ip="198.51.100.2", device_id="'quoted, with a comma"),
    event(user_id="bob", ip="198.51.100.1", device_id="a plain one"),
)


BROKEN = (
    event(user_id="ann", ip="not an address"),
    '{"user_id": "ann", "ip": ',
    event(user_id="joanna", ip="not an address either"),
)
"""What is quarantined: two messages name ann."""


@pytest.fixture(scope="session")
def many(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """The vault that holds them."""
    with filled_vault(keyed, tmp_path_factory.mktemp("many"), (*BODIES, *BROKEN)) as vault:
        yield vault


@pytest.fixture
def ids(many: Vault) -> list[str]:
    """The records in the order of `BODIES`: of ann's two, the first has bob's address."""
    found = many.sql(
        "SELECT record_id::text FROM user_logins AS r ORDER BY user_id, (SELECT count(*)"
        " FROM user_logins AS o WHERE o.masked_ip = r.masked_ip) DESC"
    )
    return [record_id for (record_id,) in found]


@pytest.fixture
def limited(many: Vault) -> Iterator[Vault]:
    """The vault, whose policy is as it was afterwards."""
    yield many
    many.set_policy(GENEROUS)


def used(vault: Vault, of: str) -> int:
    """Return the amount of a quota that the login has used."""
    count = vault.ok("reveal", "audit", "policy").json["your_quota"][of]["used"]
    assert isinstance(count, int)
    return count
