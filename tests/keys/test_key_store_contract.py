"""The table of wrapped keys: no row of it is overwritten."""

from __future__ import annotations

import dataclasses
import datetime as dt

from tests.kit.bench import Bench
from tests.kit.declared import DEVICE_ID, IP, PERSONAL_FIELDS
from tests.kit.ends import set_state
from tests.kit.fakes.vault import rotate_request
from tests.kit.new_keys import HOUR, made_up_key, token_keys
from tests.kit.rows import writer
from vault_etl.crypto.fields import QUARANTINE, KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.make import NewKey


def states(bench: Bench, *key_ids: int) -> set[KeyState]:
    """The states of these keys."""
    return {key.state for key in bench.keys.keys(key_ids)}


def test_a_data_key_is_stored_active_with_its_lease(bench: Bench) -> None:
    """Every column is as it was given; the database adds login and time."""
    new, _ = made_up_key(KeyPurpose.DATA, QUARANTINE, lease=HOUR)
    assert bench.data_keys.add_data_key(new)
    (stored,) = bench.keys.keys([new.key_id])
    for column in dataclasses.fields(NewKey):
        if column.name != "lease":
            assert getattr(stored, column.name) == getattr(new, column.name)
    assert stored.state is KeyState.ACTIVE
    assert stored.created_by
    assert abs(stored.created_at - bench.now()) < dt.timedelta(minutes=1)
    assert stored.expires_at is not None
    assert abs(stored.expires_at - stored.created_at - HOUR) < dt.timedelta(seconds=5)
    assert (stored.retired_at, stored.destroyed_at) == (None, None)


def test_an_id_that_is_taken_is_refused(bench: Bench) -> None:
    """The key that has the id already stays unchanged."""
    new, _ = made_up_key(KeyPurpose.DATA, IP, lease=HOUR)
    assert bench.data_keys.add_data_key(new)
    assert not bench.data_keys.add_data_key(dataclasses.replace(new, wrapped_key=b"other"))
    (stored,) = bench.keys.keys([new.key_id])
    assert stored.wrapped_key == new.wrapped_key


def test_the_greatest_key_id_fits(bench: Bench) -> None:
    """An id is an unsigned uint32."""
    new, _ = made_up_key(KeyPurpose.DATA, IP, lease=HOUR)
    assert bench.data_keys.add_data_key(dataclasses.replace(new, key_id=2**32 - 1))
    assert [key.key_id for key in bench.keys.keys([2**32 - 1])] == [2**32 - 1]


def test_unknown_ids_are_left_out(bench: Bench) -> None:
    """An unknown id is no error, and gives no other key."""
    key = bench.data_key(IP)
    assert [k.key_id for k in bench.keys.keys([key.key_id, 1, 2])] == [key.key_id]
    assert list(bench.keys.keys([])) == []


def test_the_first_token_keys_are_stored_once(bench: Bench) -> None:
    """They are active, of generation 1, without an end; a second set is refused as a whole."""
    made = bench.first_token_keys()
    stored = bench.keys.token_keys()
    assert {key.key_id for key in stored} == {key.key_id for key in made}
    assert {(k.purpose, k.generation, k.state, k.expires_at) for k in stored} == {
        (KeyPurpose.TOKEN, 1, KeyState.ACTIVE, None)
    }
    assert not bench.keys.add_first_keys(rotate_request(), token_keys(1))
    assert {key.key_id for key in bench.keys.token_keys()} == {key.key_id for key in made}


def test_data_keys_do_not_stand_in_the_way_of_token_keys(bench: Bench) -> None:
    """Data keys do not count as token keys."""
    bench.data_key(IP)
    assert list(bench.keys.token_keys()) == []
    bench.first_token_keys()


def test_token_keys_are_the_active_and_the_pending_ones(bench: Bench) -> None:
    """Both generations, while one waits."""
    bench.first_token_keys()
    bench.pending(token_keys(2))
    stored = {(k.generation, k.field, k.state) for k in bench.keys.token_keys()}
    assert stored == {
        (generation, field, state)
        for generation, state in ((1, KeyState.ACTIVE), (2, KeyState.PENDING))
        for field in (IP, DEVICE_ID)
    }


def test_retiring_takes_the_active_data_keys_of_the_fields(bench: Bench) -> None:
    """All of them end, of every process; no other field's, and no token key."""
    bench.first_token_keys()
    one, two = bench.data_key(IP), bench.data_key(IP)
    other = bench.data_key(DEVICE_ID)
    assert list(bench.keys.retire_data_keys(rotate_request(), [IP])) == sorted(
        [one.key_id, two.key_id]
    )
    assert states(bench, one.key_id, two.key_id) == {KeyState.DECRYPT_ONLY}
    assert states(bench, other.key_id) == {KeyState.ACTIVE}
    assert len(bench.keys.token_keys()) == 2
    assert all(key.retired_at for key in bench.keys.keys([one.key_id]))


def test_retiring_twice_takes_nothing_the_second_time(bench: Bench) -> None:
    """Retiring again, or retiring no field, retires no key."""
    bench.data_key(IP)
    bench.keys.retire_data_keys(rotate_request(), [IP])
    assert list(bench.keys.retire_data_keys(rotate_request(), [IP])) == []
    bench.data_key(IP)
    assert list(bench.keys.retire_data_keys(rotate_request(), [])) == []


def test_a_fields_token_keys_are_all_that_are_left_the_active_one_first(bench: Bench) -> None:
    """The list has the keys of that field alone, the pending key behind the active one."""
    bench.first_token_keys()
    bench.pending(token_keys(2))
    for field in PERSONAL_FIELDS:
        keys = bench.keys.field_token_keys(field)
        assert [(key.field, key.generation) for key in keys] == [(field, 1), (field, 2)]
        assert [key.state for key in keys] == [KeyState.ACTIVE, KeyState.PENDING]
    assert list(bench.keys.field_token_keys(QUARANTINE)) == []


def test_usage_counts_the_values_that_need_each_key(bench: Bench) -> None:
    """Data keys count their ciphertexts, token keys the rows with their tokens; none is 0."""
    process = writer(bench)
    unused = bench.data_key(IP)
    rows = [process.record() for _ in range(3)]
    process.load(*rows, process.rejection(), process.rejection())
    bench.erase(rows[0].record_id, IP)
    usage = {used.key.key_id: used.rows for used in bench.keys.usage()}
    by_field = {key.field: usage[key.key_id] for key in process.keys}
    assert by_field == {IP: 2, DEVICE_ID: 3, QUARANTINE: 2}
    assert usage[unused.key_id] == 0
    assert {usage[key.key_id] for key in bench.keys.token_keys()} == {3}


def test_unused_are_data_keys_past_writing_that_no_value_is_under(bench: Bench) -> None:
    """Such keys are retired or expired; a running lease and a token key do not count."""
    process = writer(bench)
    retired = bench.data_key(IP)
    process.load(process.record())
    bench.keys.retire_data_keys(rotate_request(), [IP])
    over, running = bench.data_key(IP, -HOUR), bench.data_key(IP)
    ended = bench.data_key(QUARANTINE)
    set_state(bench, KeyState.DECRYPT_ONLY, ended.key_id)
    set_state(bench, KeyState.DESTROYED, ended.key_id)
    unused = {used.key.key_id for used in bench.keys.usage() if used.unused}
    assert unused == {retired.key_id, over.key_id}
    assert running.key_id not in unused


def test_usage_lists_the_oldest_key_first(bench: Bench) -> None:
    """The list has every key, retired ones too."""
    first, second = bench.data_key(IP), bench.data_key(DEVICE_ID)
    bench.keys.retire_data_keys(rotate_request(), [IP])
    third = bench.data_key(IP)
    listed = [used.key.key_id for used in bench.keys.usage()]
    assert listed == [first.key_id, second.key_id, third.key_id]
