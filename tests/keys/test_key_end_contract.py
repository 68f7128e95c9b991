"""KeyNeeds and KeyEnder: all that needs a key is counted, and only a retired key ends."""

from __future__ import annotations

import datetime as dt

import pytest

from tests.kit.bench import Bench
from tests.kit.declared import DEVICE_ID, IP
from tests.kit.ends import ends, load_with_next, pending_generation, set_state
from tests.kit.fakes.vault import rotate_request
from tests.kit.rows import writer
from tests.kit.scratch import ciphertext
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.needed import KeyNeeds

OVER = dt.timedelta(seconds=-1)


def state(bench: Bench, key_id: int) -> tuple[KeyState, bool, bool]:
    """The state of a key, whether it has bytes, and whether it says when it ended."""
    (key,) = bench.keys.keys([key_id])
    return key.state, key.wrapped_key is not None, key.destroyed_at is not None


def test_a_data_key_is_needed_by_values_bodies_and_its_lease(bench: Bench) -> None:
    """Each has its own count, and an erased value does not count."""
    process = writer(bench)
    rows = [process.record() for _ in range(3)]
    process.load(*rows, process.rejection())
    bench.erase(rows[0].record_id, IP)
    counted = {key.field: ends(bench).needs.of_data_key(key.key_id) for key in process.keys}
    assert counted == {
        IP: KeyNeeds(values=2, leases=1),
        DEVICE_ID: KeyNeeds(values=3, leases=1),
        QUARANTINE: KeyNeeds(bodies=1, leases=1),
    }


def test_a_lease_that_is_over_or_taken_back_does_not_count(bench: Bench) -> None:
    """The database's clock decides."""
    needs = ends(bench).needs
    assert needs.of_data_key(bench.data_key(IP, OVER).key_id) == KeyNeeds()
    running = bench.data_key(IP)
    assert needs.of_data_key(running.key_id) == KeyNeeds(leases=1)
    bench.keys.retire_data_keys(rotate_request(), [IP])
    assert needs.of_data_key(running.key_id) == KeyNeeds()


def test_a_moved_value_counts_for_its_key(bench: Bench) -> None:
    """A value counts for the key that sealed it in any column."""
    process = writer(bench)
    row = process.record()
    key = next(key for key in process.keys if key.field == DEVICE_ID)
    process.load(row)
    bench.plant(row.record_id, IP, ciphertext(key.key_id))
    assert ends(bench).needs.of_data_key(key.key_id).values == 2


def test_a_generation_is_needed_by_rows_and_kept_by_others(bench: Bench) -> None:
    """Tokens in use need it, and tokens of it beside others keep it."""
    process = writer(bench)
    process.load(process.record())
    pending_generation(bench)
    load_with_next(process, 2)
    needs = ends(bench).needs
    for counted in (False, True):
        assert needs.of_generation(1, counted=counted) == KeyNeeds(values=3)
        assert needs.of_generation(2, counted=counted) == KeyNeeds(old_tokens=2)
        assert needs.of_generation(3, counted=counted) == KeyNeeds()


def test_only_an_active_key_whose_lease_is_over_is_retired(bench: Bench) -> None:
    """Each such key is retired once; a key with a running lease stays."""
    ender = ends(bench).ender
    over, running = bench.data_key(IP, OVER), bench.data_key(IP)
    both = [running.key_id, over.key_id]
    assert list(ender.retire_expired(rotate_request(), both)) == [over.key_id]
    assert list(ender.retire_expired(rotate_request(), both)) == []
    assert state(bench, over.key_id) == (KeyState.DECRYPT_ONLY, True, False)
    assert state(bench, running.key_id) == (KeyState.ACTIVE, True, False)
    tokens = bench.first_token_keys()
    assert list(ender.retire_expired(rotate_request(), [tokens[0].key_id])) == []


def test_retired_keys_end_for_good(bench: Bench) -> None:
    """Retired keys end together, once, and their bytes with them."""
    first, second = bench.data_key(IP).key_id, bench.data_key(IP).key_id
    set_state(bench, KeyState.DECRYPT_ONLY, first, second)
    ender = ends(bench).ender
    assert list(ender.destroy(rotate_request(), [second, first])) == sorted([first, second])
    assert state(bench, first) == state(bench, second) == (KeyState.DESTROYED, False, True)
    assert list(ender.destroy(rotate_request(), [first, second])) == []
    assert list(ender.destroy(rotate_request(), [])) == []


@pytest.mark.parametrize("lease", [OVER, dt.timedelta(hours=1)])
def test_an_active_key_does_not_end(bench: Bench, lease: dt.timedelta) -> None:
    """The lease does not matter: a process may be writing under the key."""
    key_id = bench.data_key(IP, lease).key_id
    assert list(ends(bench).ender.destroy(rotate_request(), [key_id])) == []
    assert state(bench, key_id) == (KeyState.ACTIVE, True, False)


def test_a_pending_key_is_not_destroyed(bench: Bench) -> None:
    """A pending key is ended only by a command that aborts the rotation."""
    bench.first_token_keys()
    pending = pending_generation(bench)
    assert list(ends(bench).ender.destroy(rotate_request(), pending)) == []
    assert {state(bench, key_id)[0] for key_id in pending} == {KeyState.PENDING}
