"""vault_etl.spark on a cluster of this machine with two executors."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.kit.events import event, events
from tests.kit.vault import Vault
from tests.kit.vaults import copied
from tests.spark.cluster import Ran, run

pytestmark = [pytest.mark.system, pytest.mark.timeout(240)]

PROGRAM: Final = Path(__file__).parent / "program.py"


@pytest.fixture(scope="module")
def vault(three: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with three records."""
    with copied(three, tmp_path_factory.mktemp("vault")) as vault:
        yield vault


@pytest.fixture(scope="module")
def ran(vault: Vault, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The program, run once."""
    home = tmp_path_factory.mktemp("cluster")
    source = tmp_path_factory.mktemp("plain") / "events.jsonl"
    source.write_text("\n".join([*events(3), event(ip="none of an address", device_id=None)]))
    return run(vault, "ingest", PROGRAM, home, str(source))


def test_tokens_are_those_of_ingest(vault: Vault, ran: Ran) -> None:
    """A frame's tokens join with those in Postgres. What the field cannot hold has no token."""
    stored = vault.sql("SELECT masked_ip, masked_device_id FROM vault_etl.user_logins")
    made = {(uuid.UUID(ip), uuid.UUID(device)) for _, ip, device in ran.told["tokens"] if ip}
    assert made == set(stored)
    assert [each[1:] for each in ran.told["tokens"] if each[1] is None] == [[None, None]]
