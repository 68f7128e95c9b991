"""New keys, and the leases of a process on its data keys."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declared import DEVICE_ID, FIELDS, IP
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import FakeVault
from vault_etl.base.errors import IncompleteError, UnavailableError
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import fingerprint
from vault_etl.keys.make import DataKeyLeases, draw_key_id, make_data_key

HOUR = dt.timedelta(hours=1)


def leases(
    vault: FakeVault, *, max_seals: int = 100, max_age: dt.timedelta = HOUR
) -> DataKeyLeases:
    """Leases of these bounds."""
    return vault.leases(max_age=max_age, max_seals=max_seals)


@pytest.mark.parametrize(("drawn", "key_id"), [(0, 1), (2**32 - 2, 2**32 - 1)])
def test_a_key_id_is_any_uint32_but_zero(
    drawn: int, key_id: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids go from the first to the last that can be drawn."""

    def randbelow(limit: int) -> int:
        assert limit == 2**32 - 1
        return drawn

    monkeypatch.setattr(secrets, "randbelow", randbelow)
    assert draw_key_id() == key_id


def test_a_key_is_bound_to_its_purpose_field_and_id(fake_vault: FakeVault) -> None:
    """The wrapped bytes open under the row's own context, to the key with the row's fingerprint."""
    new, material = make_data_key(fake_vault.kms, IP, dt.timedelta(days=1))
    assert (new.purpose, new.field, new.generation) == (KeyPurpose.DATA, IP, None)
    assert new.lease == dt.timedelta(days=1)
    assert new.fingerprint == fingerprint(material, new.key_id)
    assert fake_vault.kms.unwrap(new).expose() == material.expose()


def test_a_key_is_used_again_while_its_lease_runs(fake_vault: FakeVault) -> None:
    """A field and process need one KMS call."""
    mine = leases(fake_vault)
    assert mine.data_key(IP, 10).key_id == mine.data_key(IP, 10).key_id
    assert len(mine.made) == 1


def test_two_fields_have_two_keys(fake_vault: FakeVault) -> None:
    """Ids and bytes differ, so that IAM can let a person open one and not the other."""
    mine = leases(fake_vault)
    keys = [mine.data_key(field, 1) for field in FIELDS]
    assert [key.field for key in keys] == list(FIELDS)
    assert len({key.key_id for key in keys}) == len({k.material.expose() for k in keys}) == 3


def test_no_two_processes_share_a_key(fake_vault: FakeVault) -> None:
    """Processes need no coordination, since each has keys of its own."""
    one, other = leases(fake_vault), leases(fake_vault)
    assert one.data_key(IP, 1).key_id != other.data_key(IP, 1).key_id


def test_a_lease_ends_with_its_age(fake_vault: FakeVault) -> None:
    """The lease ends at the very moment, not after it."""
    mine = leases(fake_vault)
    first = mine.data_key(IP, 1)
    fake_vault.clock.advance(3_599)
    assert mine.data_key(IP, 1).key_id == first.key_id
    fake_vault.clock.advance(1)
    assert mine.data_key(IP, 1).key_id != first.key_id


def test_a_lease_ends_with_its_seals(fake_vault: FakeVault) -> None:
    """A batch that does not fit into what is left gets a new key; no seal is beyond the bound."""
    mine = leases(fake_vault, max_seals=100)
    first = mine.data_key(IP, 60)
    assert mine.data_key(IP, 40).key_id == first.key_id
    second = mine.data_key(IP, 60)
    assert second.key_id != first.key_id
    assert mine.data_key(IP, 41).key_id not in {first.key_id, second.key_id}


def test_seals_are_counted_by_field(fake_vault: FakeVault) -> None:
    """Each key has its own bound."""
    mine = leases(fake_vault, max_seals=100)
    first = mine.data_key(IP, 100)
    mine.data_key(DEVICE_ID, 100)
    assert len(mine.made) == 2
    assert mine.data_key(IP, 0).key_id == first.key_id


def test_our_lease_ends_before_the_databases(fake_vault: FakeVault) -> None:
    """KMS and Postgres may take long: no value is sealed under a key that has expired there."""

    def slowly(_: str, call: Callable[[], Any]) -> object:
        result = call()
        fake_vault.clock.advance(600)
        return result

    mine = fake_vault.tapped(lambda part: Tap(part, slowly)).leases(max_age=HOUR)
    first = mine.data_key(IP, 1)
    for _ in range(100):
        fake_vault.clock.advance(60)
        if mine.data_key(IP, 1).key_id != first.key_id:
            return
        expires_at = fake_vault.database.keys[first.key_id].expires_at
        assert expires_at is not None
        assert fake_vault.clock.now() < expires_at
    pytest.fail("the lease never ended")


def test_an_id_that_is_taken_is_drawn_again(
    fake_vault: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new id has a key of its own: the wrapped key is bound to the id."""
    mine = leases(fake_vault)
    taken = mine.data_key(IP, 1).key_id
    mine.forget()
    drawn = iter([taken - 1, taken - 1, 4711])
    monkeypatch.setattr(secrets, "randbelow", lambda _: next(drawn))
    key = mine.data_key(IP, 1)
    assert key.key_id == 4712
    stored = fake_vault.database.keys[4712]
    assert fake_vault.kms.unwrap(stored).expose() == key.material.expose()
    assert stored.fingerprint == key.fingerprint
    assert mine.made == [taken, 4712]


def test_ids_that_are_all_taken_end_the_run(
    fake_vault: FakeVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generator that always draws the same number is not waited for."""
    mine = leases(fake_vault)
    taken = mine.data_key(IP, 1).key_id
    mine.forget()
    monkeypatch.setattr(secrets, "randbelow", lambda _: taken - 1)
    with pytest.raises(IncompleteError, match="no free key id in 20 draws"):
        mine.data_key(IP, 1)


def test_forget_drops_every_key(fake_vault: FakeVault) -> None:
    """The fence said that one of them may no longer be written under."""
    mine = leases(fake_vault)
    before = {mine.data_key(field, 1).key_id for field in FIELDS}
    mine.forget()
    assert not before & {mine.data_key(field, 1).key_id for field in FIELDS}


def test_a_key_that_kms_did_not_make_is_no_lease(fake_vault: FakeVault) -> None:
    """When KMS answers again, a key is made."""
    mine = leases(fake_vault)
    fake_vault.kms.down = True
    with pytest.raises(UnavailableError):
        mine.data_key(IP, 1)
    assert mine.made == []
    fake_vault.kms.down = False
    assert [mine.data_key(IP, 1).key_id] == mine.made


def test_a_key_is_stored_before_it_is_handed_out(fake_vault: FakeVault) -> None:
    """No value is sealed under a key that is not stored; a stored key expires with its lease."""
    key = leases(fake_vault).data_key(IP, 1)
    stored = fake_vault.database.keys[key.key_id]
    assert stored.expires_at == fake_vault.clock.now() + HOUR
    assert stored.field == IP
