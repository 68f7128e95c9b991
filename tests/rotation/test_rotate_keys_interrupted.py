"""A rotation of the data keys that was interrupted at any point is continued."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.kit.declarations import BOTH, DEFAULT, SHOP, each_apart
from tests.kit.declared import IP
from tests.kit.fakes.rotation import CLAIM_SECONDS
from tests.kit.fakes.tap import Breaker
from tests.kit.fakes.vault import FakeVault
from tests.rotation.rotation_world import (
    EVERY_ADDRESS,
    KilledError,
    Versions,
    active_ids,
    addresses,
    filled_vault,
    key_ids,
    others,
    seen_by,
)
from vault_etl.base.errors import AuditError, IncompleteError, UnavailableError
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.rotation.data_keys import RotationPlan, plan_rotation

CALLS = {DEFAULT: 40, SHOP: 53}
"""The number of calls of all ports, in the rotation of the fixture below."""

EACH_CALL = each_apart({each: range(calls) for each, calls in CALLS.items()})


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records and a quarantined body."""
    return filled_vault(monkeypatch, declaration=request.param)


def stop_at_replace(vault: FakeVault, number: int, *fields: FieldName) -> None:
    """A rotation in which Postgres fails at the swap with this number, counted from 0."""
    swaps: list[None] = []

    def stopping(name: str, call: Callable[[], Any]) -> object:
        if name == "replace":
            swaps.append(None)
            if len(swaps) > number:
                raise UnavailableError("away")
        return call()

    with pytest.raises(UnavailableError):
        seen_by(vault, stopping).rotate(*fields)


def test_the_sweep_breaks_every_call(vault: FakeVault) -> None:
    """The next tests cover as many calls as they claim."""
    breaker = Breaker(10**9, UnavailableError("away"))
    vault.tapped(breaker.tap).rotate()
    assert breaker.calls == CALLS[vault.declaration]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("vault", "at"), EACH_CALL, indirect=["vault"])
def test_an_interrupted_rotation_is_continued(vault: FakeVault, at: int, after: bool) -> None:
    """At any point: no value is lost, and the next run re-encrypts the remaining values once, and finishes."""
    versions = Versions(vault)
    breaker = Breaker(at, UnavailableError("away"), after=after)
    try:
        vault.tapped(breaker.tap).rotate()
    except (UnavailableError, AuditError):
        pass
    else:  # all work was done by then, and only the claim of a done range was held
        assert breaker.broken == "free"
    assert addresses(vault) == EVERY_ADDRESS
    is_open = vault.rotations.open(KeyPurpose.DATA) is not None
    versions.look()
    first = versions.times_reencrypted
    report = vault.rotate()
    versions.look()
    assert report.values_remaining == 0
    assert addresses(vault) == EVERY_ADDRESS
    assert key_ids(vault) <= active_ids(vault)
    if is_open:  # otherwise the first run had ended, or never begun
        assert report.retired == ()
        assert versions.times_reencrypted == {1}
        assert first <= {0, 1}


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(("vault", "at"), EACH_CALL, indirect=["vault"])
def test_a_killed_rotation_is_continued(vault: FakeVault, at: int, after: bool) -> None:
    """A killed process frees no claim and writes no outcome: its ranges become free by themselves."""
    breaker = Breaker(at, KilledError(), after=after, for_good=True)
    with pytest.raises(KilledError):
        vault.tapped(breaker.tap).rotate()
    assert addresses(vault) == EVERY_ADDRESS
    report = vault.rotate()
    assert report.values_remaining == 0
    assert addresses(vault) == EVERY_ADDRESS
    assert key_ids(vault) <= active_ids(vault)
    assert not vault.database.rotations
    assert not vault.database.ranges


def test_a_continued_rotation_retires_no_key(vault: FakeVault) -> None:
    """Values that the interrupted run sealed stay as they are, under that run's keys, which stay in use."""
    stop_at_replace(vault, 2)
    made, sealed = active_ids(vault), dict(enumerate(vault.database.ciphertexts()))
    values = len(sealed)
    new = [entry for entry in sealed.values() if int.from_bytes(entry[3][1:5], "big") in made]
    assert new
    report = vault.rotate()
    assert (report.retired, report.values_reencrypted) == ((), values - len(new))
    assert set(new) <= set(vault.database.ciphertexts())
    assert made <= active_ids(vault)


def test_a_plan_reports_an_interrupted_rotation(vault: FakeVault) -> None:
    """The plan has its fields, no key to retire, and the number of remaining values; no state changes."""
    stop_at_replace(vault, 1, IP)
    before = dict(vault.database.keys)
    plan = plan_rotation(vault.keys, vault.rotations, vault.declaration.data_fields)
    left = 7 - len([v for v in vault.database.ciphertexts() if v[3][1:5] in _four_bytes(vault)])
    assert plan == RotationPlan((), left, (IP,))
    assert 0 < left < 7
    assert vault.database.keys == before
    lazy = plan_rotation(vault.keys, vault.rotations, [IP], lazy=True)
    assert (set(lazy.retire), lazy.resumes) == (active_ids_of(vault, IP), None)


def test_fields_are_not_opened_under_an_entry_that_does_not_name_them(vault: FakeVault) -> None:
    """The interrupted rotation has all fields, and the entry of the next run names only `ip`: no value is touched."""
    stop_at_replace(vault, 1)
    before = vault.database.ciphertexts()
    with pytest.raises(IncompleteError) as caught:
        vault.rotate(IP)
    assert "run it again" in (caught.value.hint or "")
    assert vault.database.ciphertexts() == before
    assert vault.rotate(*reversed(vault.declaration.data_fields)).values_remaining == 0


def test_more_fields_than_were_interrupted_are_left_for_the_next_run(vault: FakeVault) -> None:
    """The begun rotation is finished, with its own fields alone."""
    stop_at_replace(vault, 1, IP)
    before = key_ids(vault, *others(vault))
    assert vault.rotate().values_remaining == 0
    assert key_ids(vault, *others(vault)) == before
    assert set(vault.rotate().retired) >= before


def test_the_claims_of_a_killed_process_become_free_after_a_while(vault: FakeVault) -> None:
    """Not sooner, since the process may be alive, and not later."""
    calls: list[str] = []

    def killing(name: str, call: Callable[[], Any]) -> object:
        calls.append(name)
        if "replace" in calls:
            raise KilledError
        return call()

    with pytest.raises(KilledError):
        seen_by(vault, killing).rotate()
    free = sum(map(len, vault.database.ranges.values())) - 1
    killed_at = vault.clock.monotonic()
    claimed_at: list[float] = []

    def watching(name: str, call: Callable[[], Any]) -> object:
        answer = call()
        if name == "claim" and answer is not None:
            claimed_at.append(vault.clock.monotonic() - killed_at)
        return answer

    assert seen_by(vault, watching).rotate().values_remaining == 0
    assert free > 1
    assert claimed_at[:free] == [0] * free  # the ranges without a worker
    assert claimed_at[free] == pytest.approx(CLAIM_SECONDS, abs=0.3)


def test_a_process_that_fails_frees_its_claims_at_once(vault: FakeVault) -> None:
    """The next process does not wait."""
    stop_at_replace(vault, 1)
    before = vault.clock.monotonic()
    vault.rotate()
    assert vault.clock.monotonic() == before


def active_ids_of(vault: FakeVault, field: FieldName) -> set[int]:
    """The active keys of a field."""
    keys = vault.database.keys
    return {i for i in active_ids(vault) if keys[i].field == field and not keys[i].generation}


def _four_bytes(vault: FakeVault) -> set[bytes]:
    """The key ids of the active keys of the field `ip`, as the ciphertexts have them."""
    return {key_id.to_bytes(4, "big") for key_id in active_ids_of(vault, IP)}
