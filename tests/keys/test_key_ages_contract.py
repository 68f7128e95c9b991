"""Key ages: the oldest key of each purpose in a state, by the clock that dated it."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import DEVICE_ID, IP
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import HOUR, token_keys
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState

DAYS = dt.timedelta(days=100)
ROUGHLY = dt.timedelta(seconds=30)


def about(found: dt.timedelta, expected: dt.timedelta) -> bool:
    """Say whether an age is at least this, and not much more."""
    return expected <= found < expected + ROUGHLY


def test_without_keys_there_is_no_age(bench: Bench) -> None:
    """No state has an age."""
    assert all(bench.keys.oldest(state) == {} for state in KeyState)


def test_the_oldest_active_key_decides(bench: Bench) -> None:
    """The key may be of any field, and each purpose has its own."""
    bench.first_token_keys()
    bench.grow_older(DAYS)
    bench.data_key(DEVICE_ID)
    bench.grow_older(HOUR)
    bench.data_key(IP)
    ages = bench.keys.oldest(KeyState.ACTIVE)
    assert set(ages) == {KeyPurpose.DATA, KeyPurpose.TOKEN}
    assert about(ages[KeyPurpose.TOKEN], DAYS + HOUR)
    assert about(ages[KeyPurpose.DATA], HOUR)


def test_an_expired_lease_is_active_until_it_is_retired(bench: Bench) -> None:
    """Otherwise a key that is never rotated would never be due."""
    bench.data_key(IP, lease=HOUR)
    bench.grow_older(DAYS)
    assert about(bench.keys.oldest(KeyState.ACTIVE)[KeyPurpose.DATA], DAYS)
    bench.keys.retire_data_keys(rotate_request(), [IP])
    assert bench.keys.oldest(KeyState.ACTIVE) == {}
    assert about(bench.keys.oldest(KeyState.DECRYPT_ONLY)[KeyPurpose.DATA], DAYS)


def test_a_pending_generation_has_an_age_of_its_own(bench: Bench) -> None:
    """The pending generation of a begun token rotation has its own age."""
    bench.first_token_keys()
    bench.grow_older(DAYS)
    bench.pending(token_keys(2))
    bench.grow_older(HOUR)
    pending = bench.keys.oldest(KeyState.PENDING)
    assert set(pending) == {KeyPurpose.TOKEN}
    assert about(pending[KeyPurpose.TOKEN], HOUR)
    assert about(bench.keys.oldest(KeyState.ACTIVE)[KeyPurpose.TOKEN], DAYS + HOUR)


@pytest.mark.parametrize("role", ["ingest", "reveal", "rotate", "re-encrypt", "audit"])
def test_roles_that_see_keys_see_their_ages(bench: Bench, role: str) -> None:
    """Ingest is one of them, for its metrics."""
    bench.first_token_keys()
    assert set(bench.keys_of(role).oldest(KeyState.ACTIVE)) == {KeyPurpose.TOKEN}
