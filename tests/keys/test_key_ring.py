"""The key ring: one KMS call a key, checked, bounded, and not for ever."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import DEVICE_ID, IP, PERSONAL_FIELDS
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import FakeVault
from vault_etl.base.errors import (
    ConfigurationError,
    IntegrityError,
    KeyUnavailableError,
    UnavailableError,
    UnusableKeyError,
)
from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import FieldName
from vault_etl.crypto.keys import DataKey, KeyState
from vault_etl.keys.ring import MAX_CACHED_KEYS, MAX_CACHED_SECONDS, KeyRing

THREADS = 64


def data_key(vault: FakeVault, field: FieldName = IP) -> DataKey:
    """A stored data key of another process."""
    return vault.leases().data_key(field, 1)


def damage(vault: FakeVault, key_id: int, **changes: Any) -> None:  # noqa: ANN401 - columns
    """Change a row, as no command of ours would."""
    vault.database.keys[key_id] = dataclasses.replace(vault.database.keys[key_id], **changes)


def test_the_key_is_the_one_that_was_stored(fake_vault: FakeVault) -> None:
    """The key has the id, field and bytes of the row."""
    key = data_key(fake_vault)
    found = fake_vault.ring().data_key(key.key_id, IP)
    assert (found.key_id, found.field) == (key.key_id, IP)
    assert found.material.expose() == key.material.expose()


def test_a_cold_start_of_64_threads_makes_one_kms_call(fake_vault: FakeVault) -> None:
    """One thread asks, the others wait for its answer."""
    key = data_key(fake_vault)

    def slowly(name: str, call: Callable[[], Any]) -> object:
        if name == "unwrap":
            time.sleep(0.05)
        return call()

    ring = fake_vault.tapped(lambda part: Tap(part, slowly)).ring()
    barrier = threading.Barrier(THREADS)

    def ask(_: int) -> bytes:
        barrier.wait()
        return ring.data_key(key.key_id, IP).material.expose()

    with ThreadPoolExecutor(THREADS) as pool:
        found = set(pool.map(ask, range(THREADS)))
    assert found == {key.material.expose()}
    assert fake_vault.kms.unwrapped == [key.key_id]


def test_when_the_one_call_fails_no_thread_waits_for_ever(fake_vault: FakeVault) -> None:
    """Each thread that waited tries for itself, and gets the error."""
    key = data_key(fake_vault)
    fake_vault.kms.down = True
    ring = fake_vault.ring()
    barrier = threading.Barrier(8)

    def ask(_: int) -> type[BaseException]:
        barrier.wait()
        try:
            ring.data_key(key.key_id, IP)
        except UnavailableError as error:
            return type(error)
        return KeyError

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(ask, range(8), timeout=10))
    assert told == [UnavailableError] * 8


def test_a_failure_is_not_kept(fake_vault: FakeVault) -> None:
    """When KMS answers again, or allows it again, the key is there."""
    key = data_key(fake_vault)
    ring = fake_vault.ring()
    fake_vault.kms.down = True
    with pytest.raises(UnavailableError):
        ring.data_key(key.key_id, IP)
    fake_vault.kms.down = False
    fake_vault.kms.denied = {IP}
    with pytest.raises(KeyUnavailableError):
        ring.data_key(key.key_id, IP)
    fake_vault.kms.denied = set()
    assert ring.data_key(key.key_id, IP).key_id == key.key_id


def test_a_cached_key_has_an_age_limit(fake_vault: FakeVault) -> None:
    """After the limit KMS is asked again, and may deny."""
    key = data_key(fake_vault)
    ring = KeyRing(fake_vault.keys, fake_vault.kms, DEFAULT.kinds, max_seconds=0.05)
    ring.data_key(key.key_id, IP)
    ring.data_key(key.key_id, IP)
    assert fake_vault.kms.unwrapped == [key.key_id]
    time.sleep(0.06)
    fake_vault.kms.denied = {IP}
    with pytest.raises(KeyUnavailableError):
        ring.data_key(key.key_id, IP)


def test_the_cache_is_bounded_and_drops_what_was_used_least_recently(fake_vault: FakeVault) -> None:
    """A rotation over a million keys does not hold a million keys."""
    a, b, c = (data_key(fake_vault).key_id for _ in range(3))
    ring = KeyRing(fake_vault.keys, fake_vault.kms, DEFAULT.kinds, max_keys=2)
    for key_id in (a, b, a, c, a, b):
        ring.data_key(key_id, IP)
    # c took b's place, since a had been used after b; then b took c's.
    assert fake_vault.kms.unwrapped == [a, b, c, b]


def test_the_bounds_are_a_thousand_keys_and_five_minutes() -> None:
    """The defaults of every ring."""
    assert (MAX_CACHED_KEYS, MAX_CACHED_SECONDS) == (1_000, 300)


def test_a_key_with_another_fingerprint_is_not_used(fake_vault: FakeVault) -> None:
    """Damage and mix-ups are caught before the first use, each time that the key is asked for."""
    key = data_key(fake_vault)
    damage(fake_vault, key.key_id, fingerprint=bytes(8))
    ring = fake_vault.ring()
    for _ in range(2):
        with pytest.raises(UnusableKeyError):
            ring.data_key(key.key_id, IP)


def test_a_token_key_with_another_fingerprint_is_not_used(fake_vault: FakeVault) -> None:
    """Its tokens would match nothing."""
    damage(fake_vault, fake_vault.keys.token_keys()[0].key_id, fingerprint=bytes(8))
    with pytest.raises(UnusableKeyError):
        fake_vault.ring().tokenizers()


def test_an_unknown_key_is_an_integrity_failure(fake_vault: FakeVault) -> None:
    """The id came out of a ciphertext; KMS is not asked."""
    with pytest.raises(IntegrityError):
        fake_vault.ring().data_key(4711, IP)
    assert fake_vault.kms.unwrapped == []


def test_a_key_of_another_field_is_an_integrity_failure(fake_vault: FakeVault) -> None:
    """A ciphertext that was moved names the other field's key; KMS is not asked."""
    key = data_key(fake_vault, DEVICE_ID)
    with pytest.raises(IntegrityError):
        fake_vault.ring().data_key(key.key_id, IP)
    assert fake_vault.kms.unwrapped == []


def test_a_token_key_is_no_data_key(fake_vault: FakeVault) -> None:
    """A token key of the right field is refused too."""
    token_key = next(key for key in fake_vault.keys.token_keys() if key.field == IP)
    with pytest.raises(IntegrityError):
        fake_vault.ring().data_key(token_key.key_id, IP)


def test_a_destroyed_key_is_not_available(fake_vault: FakeVault) -> None:
    """A destroyed key has no bytes to unwrap."""
    key = data_key(fake_vault)
    damage(fake_vault, key.key_id, wrapped_key=None, state=KeyState.DESTROYED)
    with pytest.raises(UnusableKeyError):
        fake_vault.ring().data_key(key.key_id, IP)


def test_two_keys_are_not_mixed_up(fake_vault: FakeVault) -> None:
    """Each id has its own bytes in the cache."""
    one, other = data_key(fake_vault), data_key(fake_vault)
    ring = fake_vault.ring()
    for key in (one, other, one):
        assert ring.data_key(key.key_id, IP).material.expose() == key.material.expose()


def test_the_active_and_the_pending_generation_have_tokenizers(
    fake_vault: FakeVault,
) -> None:
    """The second exists only while a generation is pending; their tokens differ."""
    active, pending = fake_vault.ring().tokenizers()
    assert (active.generation, pending) == (1, None)
    fake_vault.add_token_keys(2, KeyState.PENDING)
    active, pending = fake_vault.ring().tokenizers()
    assert pending is not None
    assert (active.generation, pending.generation) == (1, 2)
    value = Pii(b"198.51.100.7")
    assert active.token(IP, value) != pending.token(IP, value)


@pytest.mark.parametrize("field", PERSONAL_FIELDS)
def test_a_fields_tokenizer_needs_that_fields_key_alone(
    fake_vault: FakeVault, field: FieldName
) -> None:
    """A field's tokenizer makes the same tokens as the whole tokenizer."""
    whole, _ = fake_vault.ring().tokenizers()
    fake_vault.kms.denied = set(PERSONAL_FIELDS) - {field}
    value = Pii(b"198.51.100.7")
    assert fake_vault.ring().field_tokenizer(field, 1).token(value) == whole.token(field, value)


@pytest.mark.parametrize("state", [KeyState.PENDING, KeyState.DECRYPT_ONLY])
def test_a_row_may_be_of_a_generation_before_or_after_the_active_one(
    fake_vault: FakeVault, state: KeyState
) -> None:
    """A cut-over may come between the read of the row and the read of its key."""
    fake_vault.add_token_keys(2, state)
    assert fake_vault.ring().field_tokenizer(IP, 2).generation == 2


@pytest.mark.parametrize("generation", [None, 0, 2])
def test_an_unknown_generation_has_no_tokenizer(
    fake_vault: FakeVault, generation: int | None
) -> None:
    """The number came out of a row: that row is not one of ours."""
    with pytest.raises(IntegrityError):
        fake_vault.ring().field_tokenizer(IP, generation)


def test_without_token_keys_the_hint_says_what_to_run(fake_vault: FakeVault) -> None:
    """The hint names `keys init`."""
    fake_vault.database.keys.clear()
    with pytest.raises(ConfigurationError) as caught:
        fake_vault.ring().tokenizers()
    assert "keys init" in (caught.value.hint or "")


def test_a_generation_without_one_of_its_keys_is_no_generation(fake_vault: FakeVault) -> None:
    """A key of another generation never replaces a missing key: `keys init` makes it."""
    del fake_vault.database.keys[fake_vault.keys.token_keys()[0].key_id]
    with pytest.raises(ConfigurationError, match="no token key yet of"):
        fake_vault.ring().tokenizers()
