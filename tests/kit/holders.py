"""A vault whose values are known, and a way to ask for a value, for tests of `find`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.kit.events import event
from tests.kit.vault import Result, Vault
from tests.kit.vaults import filled_vault

ADDRESS = "198.51.100.77"
DEVICE = "canary-device-4711"
BODIES = (
    event(user_id="ann", ip=ADDRESS, device_id=DEVICE),
    event(user_id="bob", ip=f" {ADDRESS} ", device_id=f"{DEVICE}\u00a0"),
    event(user_id="cyd", ip=f"::ffff:{ADDRESS}"),
    event(user_id="dan", ip="198.51.100.78", device_id=DEVICE.upper()),
)
"""Three users behind one address, one of them in IPv6's words; one device; and another of each."""

Ask = Callable[..., Result]


@pytest.fixture(scope="module")
def held(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """The vault that holds them."""
    with filled_vault(keyed, tmp_path_factory.mktemp("held"), BODIES) as vault:
        yield vault


@pytest.fixture
def ask(held: Vault) -> Ask:
    """Ask for a value on standard input."""

    def _ask(value: str, field: str = "ip", *more: str, role: str = "reveal") -> Result:
        asked = ("find", "--field", field, "--reason", "a test", *more)
        return held.run(role, *asked, stdin=f"{value}\n")

    return _ask


def users(result: Result) -> list[str]:
    """Return the users that hold the value, by name."""
    assert result.code == 0, result.stderr
    return sorted(record["user_id"] for record in result.json["records"])
