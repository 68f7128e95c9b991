"""Ciphertext format 1 and the associated data that binds it to its place."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.declared import FIELDS, IP, TABLES, login_place
from vault_etl.base.errors import IntegrityError
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace

RECORD = uuid.UUID("019b76da-a87b-73e6-8074-f1e73a6ddeb4")
SMALLEST = bytes([1]) + bytes(4 + 12 + 16 + 16)

key_ids = st.integers(1, 2**32 - 1)
nonces = st.binary(min_size=12, max_size=12)
sealed_bodies = st.integers(1, 40).flatmap(
    lambda blocks: st.binary(min_size=16 * blocks + 16, max_size=16 * blocks + 16)
)


@given(key_ids, nonces, sealed_bodies)
def test_parse_takes_apart_what_serialise_puts_together(
    key_id: int, nonce: bytes, sealed: bytes
) -> None:
    """Parse after serialise is the identity."""
    ciphertext = Ciphertext(key_id, nonce, sealed)
    assert Ciphertext.parse(ciphertext.serialise()) == ciphertext


@given(key_ids, nonces, sealed_bodies)
def test_serialise_gives_back_what_was_parsed(key_id: int, nonce: bytes, sealed: bytes) -> None:
    """Serialise after parse is the identity: a value has one form."""
    stored = b"\x01" + key_id.to_bytes(4, "big") + nonce + sealed
    assert Ciphertext.parse(stored).serialise() == stored


def test_the_fields_have_the_positions_of_the_format() -> None:
    """The order is format, key id, nonce, then the ciphertext with its tag."""
    stored = bytes([1]) + bytes.fromhex("deadbeef") + b"n" * 12 + b"c" * 16 + b"t" * 16
    assert Ciphertext.parse(stored) == Ciphertext(0xDEADBEEF, b"n" * 12, b"c" * 16 + b"t" * 16)


@pytest.mark.parametrize("length", [n for n in range(100) if n < 49 or (n - 33) % 16])
def test_no_other_length_parses(length: int) -> None:
    """Only a header, whole blocks (at least one) and a tag."""
    with pytest.raises(IntegrityError):
        Ciphertext.parse(bytes([1]) + bytes(max(0, length - 1)) if length else b"")


@pytest.mark.parametrize("length", [49, 65, 81, 33 + 16 * 20])
def test_whole_blocks_parse(length: int) -> None:
    """The smallest ciphertext has 49 bytes."""
    assert len(Ciphertext.parse(bytes([1]) + bytes(length - 1)).sealed) == length - 17


@pytest.mark.parametrize("format_byte", [n for n in range(256) if n != 1])
def test_no_other_format_parses(format_byte: int) -> None:
    """Format 1 is the only one there is."""
    with pytest.raises(IntegrityError):
        Ciphertext.parse(bytes([format_byte]) + SMALLEST[1:])


def test_the_associated_data_of_a_record_is_known() -> None:
    """The associated data is byte for byte that of docs/design.md."""
    place = login_place(IP, RECORD, "user-é")
    assert place.associated_data(0xDEADBEEF) == b"".join(
        (
            b"vault-etl/1",
            b"\x00\x0buser_logins",
            b"\x00\x02ip",
            bytes.fromhex("019b76daa87b73e68074f1e73a6ddeb4"),
            bytes.fromhex("deadbeef"),
            b"\x00\x07user-\xc3\xa9",
        )
    )


def test_the_associated_data_of_a_quarantined_body_is_known() -> None:
    """The person of a quarantined body is empty, as the body has no person yet."""
    assert ValuePlace.in_quarantine(RECORD).associated_data(1) == b"".join(
        (
            b"vault-etl/1",
            b"\x00\x0aquarantine",
            b"\x00\x0aquarantine",
            bytes.fromhex("019b76daa87b73e68074f1e73a6ddeb4"),
            bytes.fromhex("00000001"),
            b"\x00\x00",
        )
    )


places = st.builds(
    ValuePlace,
    st.sampled_from(TABLES),
    st.sampled_from(FIELDS),
    st.just(IP),
    st.uuids(),
    st.text(max_size=4),
)


@given(places, key_ids, places, key_ids)
def test_two_places_never_have_one_associated_data(
    one: ValuePlace, one_key: int, other: ValuePlace, other_key: int
) -> None:
    """Table, field, row, key and person can each be read back out of it."""
    same = one.associated_data(one_key) == other.associated_data(other_key)
    assert same == ((one, one_key) == (other, other_key))


@pytest.mark.parametrize("key_id", [-1, 2**32])
def test_a_key_id_beyond_uint32_is_not_written(key_id: int) -> None:
    """A key id has four bytes."""
    with pytest.raises(OverflowError):
        Ciphertext(key_id, bytes(12), bytes(32)).serialise()
