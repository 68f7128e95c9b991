"""`find` while a rotation of the token keys runs, and after it: no record is missed in any generation."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.events import event
from tests.kit.generations import SWAPPED, begin
from tests.kit.holders import ADDRESS, users
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault


@pytest.fixture
def ann(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with one record, of ann, of generation 1."""
    body = event(user_id="ann", ip=ADDRESS)
    with filled_vault(keyed, tmp_path_factory.mktemp("ann"), [body]) as vault:
        yield vault


def test_every_generation_is_searched(ann: Vault) -> None:
    """A row with old, both or new tokens is found once, under the active token."""
    begin(ann)
    load(ann, "bob")
    assert search(ann) == (["ann", "bob"], 2)
    ann.sql(SWAPPED)
    load(ann, "cyd")
    tokens = dict(ann.sql("SELECT user_id, masked_ip IS NULL FROM user_logins"))
    assert tokens == {"ann": True, "bob": False, "cyd": False}
    assert search(ann) == (["ann", "bob", "cyd"], 3)


def test_a_destroyed_generation_is_not_searched(ann: Vault) -> None:
    """After its keys are destroyed, KMS gets no call for the generation."""
    begin(ann)
    load(ann, "bob")
    ann.sql(SWAPPED)
    ann.sql(
        "UPDATE user_logins SET next_masked_ip = NULL, next_masked_device_id = NULL,"
        " next_token_generation = NULL;"
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL"
        " WHERE purpose = 'token' AND generation = 1"
    )
    assert search(ann) == (["bob"], 1)


def search(vault: Vault) -> tuple[list[str], int]:
    """Return the users who have the address, and the count; the token is the active generation's."""
    asked = ("find", "-f", "ip", "--reason", "x")
    result = vault.ok("reveal", *asked, stdin=ADDRESS)
    active = "SELECT masked_ip::text FROM user_logins WHERE masked_ip IS NOT NULL"
    assert {token for (token,) in vault.sql(active)} == {result.json["token"]}
    return users(result), result.json["count"]


def load(vault: Vault, user_id: str) -> None:
    """Store a further login from the same address."""
    vault.send([event(user_id=user_id, ip=ADDRESS)])
    assert vault.ok("ingest", "ingest").json["stored"] == 1
