"""Keys: material that does not get out, fingerprints, encryption contexts."""

from __future__ import annotations

import copy
import hmac
import json
import pickle

import psycopg2
import psycopg2.extensions
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.declared import DEVICE_ID, IP
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import (
    DataKey,
    KeyMaterial,
    KeyState,
    encryption_context,
    fingerprint,
)
from vault_etl.crypto.limits import MAX_LEASE, MAX_SEALS
from vault_etl.platform.postgres_copy import copy_binary

RAW = b"thirty-two bytes of key, exactly"
MATERIAL = KeyMaterial(RAW)


def test_material_is_exposed_on_purpose_alone() -> None:
    """Expose gives the bytes."""
    assert MATERIAL.expose() == RAW


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_material_has_32_bytes(length: int) -> None:
    """Keys of AES-256 and HMAC-SHA-256 have 32 bytes; the error does not show the bytes that it was given."""
    with pytest.raises(ValueError, match=r"^key material is 32 bytes$"):
        KeyMaterial(b"k" * length)


@pytest.mark.parametrize(
    "text",
    [
        repr(MATERIAL),
        str(MATERIAL),
        f"{MATERIAL}",
        f"{MATERIAL!r}",
        "%s" % MATERIAL,  # noqa: UP031 - one of the ways that it could get out
        repr([MATERIAL]),
        repr(DataKey(1, IP, MATERIAL)),
    ],
)
def test_material_prints_as_nothing(text: str) -> None:
    """Material is not printed alone, in a list, or in a key."""
    assert "thirty" not in text
    assert "redacted" in text


def test_material_does_not_hash() -> None:
    """A dict or set key is a copy that no code tracks."""
    with pytest.raises(TypeError):
        hash(MATERIAL)
    with pytest.raises(TypeError):
        hash(DataKey(1, IP, MATERIAL))


def test_material_is_not_compared() -> None:
    """Comparing keys byte by byte takes a time that tells."""
    with pytest.raises(TypeError):
        _ = KeyMaterial(RAW) == MATERIAL
    with pytest.raises(TypeError):
        _ = MATERIAL != RAW


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_material_is_not_pickled(protocol: int) -> None:
    """No protocol of pickle takes material."""
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(MATERIAL, protocol)


def test_material_is_not_copied_or_written_as_json() -> None:
    """Keys that hold material are not copied or written either."""
    for attempt in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(MATERIAL)
    with pytest.raises(TypeError):
        json.dumps({"key": MATERIAL})
    with pytest.raises(TypeError):
        copy.deepcopy(DataKey(1, IP, MATERIAL))


def test_material_does_not_go_into_a_statement_or_a_row() -> None:
    """Both psycopg2 and COPY refuse material."""
    with pytest.raises(psycopg2.ProgrammingError, match="can't adapt"):
        psycopg2.extensions.adapt(MATERIAL)
    with pytest.raises(TypeError):
        copy_binary([(MATERIAL,)])


@pytest.mark.parametrize("key_id", [0, -1, 2**32])
def test_a_key_id_is_a_uint32_and_not_zero(key_id: int) -> None:
    """A key id has four bytes in a ciphertext."""
    with pytest.raises(ValueError, match="uint32"):
        DataKey(key_id, IP, MATERIAL)


@pytest.mark.parametrize("key_id", [1, 2**32 - 1])
def test_every_other_uint32_is_a_key_id(key_id: int) -> None:
    """Key ids go from 1 to 4,294,967,295."""
    assert DataKey(key_id, IP, MATERIAL).key_id == key_id


def test_a_known_fingerprint() -> None:
    """A fingerprint has eight bytes, and never changes: every row of data_keys has it."""
    assert fingerprint(KeyMaterial(bytes(range(32))), 0xDEADBEEF).hex() == "5b87f7cc1a3579b0"


@given(st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1))
def test_the_fingerprint_agrees_with_the_oracle(raw: bytes, key_id: int) -> None:
    """HMAC-SHA-256(key, label, key id), cut to 8 bytes, with the standard library alone."""
    message = b"vault-etl/1/fingerprint" + key_id.to_bytes(4, "big")
    assert fingerprint(KeyMaterial(raw), key_id) == hmac.digest(raw, message, "sha256")[:8]


def test_a_key_knows_its_fingerprint() -> None:
    """The fingerprint of a key is that of its material under its id."""
    key = DataKey(7, IP, MATERIAL)
    assert key.fingerprint == fingerprint(MATERIAL, 7) != fingerprint(MATERIAL, 8)


def test_the_encryption_context_is_frozen() -> None:
    """IAM conditions and CloudTrail read these names; the key id is decimal text."""
    assert encryption_context(KeyPurpose.TOKEN, DEVICE_ID, 4_294_967_295) == {
        "app": "vault-etl",
        "purpose": "token",
        "field": "device_id",
        "key_id": "4294967295",
    }


def test_the_states_of_a_key_are_frozen() -> None:
    """The states are stored in the database."""
    assert [state.value for state in KeyState] == [
        "pending",
        "active",
        "decrypt_only",
        "destroyed",
    ]


def test_the_limits_of_a_lease() -> None:
    """A lease lasts a day and 2^28 seals, a sixteenth of the bound of SP 800-38D."""
    assert MAX_LEASE.total_seconds() == 24 * 3600
    assert MAX_SEALS == 2**28 <= 2**32 // 16
