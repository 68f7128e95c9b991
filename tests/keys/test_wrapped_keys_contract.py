"""WrappedKeys: new bytes replace those that were read, and no others."""

from __future__ import annotations

import dataclasses

from tests.kit.bench import Bench
from tests.kit.declared import DEVICE_ID, IP
from tests.kit.ends import ends, set_state
from tests.kit.fakes.vault import rotate_request
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState, StoredKey

ARN = "arn:aws:kms:eu-west-1:000000000000:key/another"


def stored(bench: Bench, key_id: int) -> StoredKey:
    """The row as it is now."""
    (key,) = bench.keys.keys([key_id])
    return key


def test_every_key_that_is_not_destroyed_is_listed(bench: Bench) -> None:
    """Retired keys are listed too, grouped by purpose and field, the oldest first."""
    tokens = bench.first_token_keys()
    keys = [bench.data_key(field).key_id for field in (IP, DEVICE_ID, IP)]
    set_state(bench, KeyState.DECRYPT_ONLY, *keys)
    set_state(bench, KeyState.DESTROYED, keys[1])
    live = ends(bench).wrapped.live()
    assert [key.key_id for key in live if key.purpose is KeyPurpose.DATA] == [keys[0], keys[2]]
    assert [(key.purpose, key.field) for key in live] == sorted(
        (key.purpose, key.field) for key in live
    )
    assert {key.key_id for key in live} == {keys[0], keys[2], *(key.key_id for key in tokens)}


def test_new_bytes_and_their_kms_key_take_the_place_of_the_old(bench: Bench) -> None:
    """The row's other columns stay unchanged."""
    key = stored(bench, bench.data_key(IP).key_id)
    assert ends(bench).wrapped.swap(rotate_request(), key, b"new", ARN)
    changed = dataclasses.replace(key, wrapped_key=b"new", kms_key_arn=ARN)
    assert stored(bench, key.key_id) == changed


def test_the_first_of_two_swaps_wins(bench: Bench) -> None:
    """The second swap of the same old bytes changes nothing; nor does one of another ARN."""
    key = stored(bench, bench.data_key(IP).key_id)
    wrapped = ends(bench).wrapped
    assert wrapped.swap(rotate_request(), key, b"first", key.kms_key_arn)
    assert not wrapped.swap(rotate_request(), key, b"second", key.kms_key_arn)
    now = stored(bench, key.key_id)
    assert now.wrapped_key == b"first"
    assert not wrapped.swap(rotate_request(), dataclasses.replace(now, kms_key_arn=ARN), b"x", ARN)
    assert stored(bench, key.key_id) == now


def test_a_destroyed_key_stays_without_bytes(bench: Bench) -> None:
    """The bytes that were read before do not matter."""
    key = stored(bench, bench.data_key(IP).key_id)
    set_state(bench, KeyState.DECRYPT_ONLY, key.key_id)
    set_state(bench, KeyState.DESTROYED, key.key_id)
    assert not ends(bench).wrapped.swap(rotate_request(), key, b"new", ARN)
    assert stored(bench, key.key_id).wrapped_key is None
