"""ISO/IEC 7816-4 padding."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.crypto.ciphertext import BLOCK_BYTES, pad, unpad


@given(st.binary(max_size=100))
def test_unpad_takes_off_what_pad_put_on(plaintext: bytes) -> None:
    """Unpad after pad is the identity."""
    assert unpad(pad(plaintext)) == plaintext


@given(st.binary(max_size=100))
def test_padding_is_one_to_sixteen_bytes_to_a_whole_block(plaintext: bytes) -> None:
    """The padded length tells a class of 16 bytes and no more."""
    padded = pad(plaintext)
    assert padded.startswith(plaintext + b"\x80")
    assert len(padded) % BLOCK_BYTES == 0
    assert 1 <= len(padded) - len(plaintext) <= BLOCK_BYTES


@pytest.mark.parametrize(
    ("plaintext", "padded"),
    [
        (b"", "80000000000000000000000000000000"),
        (b"198.51.100.7", "3139382e35312e3130302e3780000000"),
        (b"a" * 15, "61" * 15 + "80"),
        (b"a" * 16, "61" * 16 + "80" + "00" * 15),
        (b"\x80" + bytes(3), "80000000" + "80" + "00" * 11),
    ],
)
def test_known_paddings(plaintext: bytes, padded: str) -> None:
    """Padding is 0x80, then zeros, to the next multiple of 16."""
    assert pad(plaintext).hex() == padded


@given(st.ip_addresses(v=4))
def test_all_ipv4_addresses_have_one_padded_length(address: ipaddress.IPv4Address) -> None:
    """A ciphertext does not tell 1.1.1.1 from 198.51.100.255."""
    assert len(pad(str(address).encode())) == BLOCK_BYTES


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        bytes(16),
        b"a" * 16,
        b"a" * 14 + b"\x80",  # no whole block
        b"a" * 15 + b"\x80\x00",
        b"a" * 14 + b"\x80\x01",  # something behind the zeros
        b"a" * 15 + b"\x80" + bytes(16),  # a block of zeros too many
        b"\x80" + bytes(31),
    ],
)
def test_malformed_padding_does_not_unpad(padded: bytes) -> None:
    """Malformed padding is an error, not a guess."""
    with pytest.raises(ValueError, match="malformed padding"):
        unpad(padded)


@given(st.lists(st.sampled_from([b"\x00", b"\x80", b"a"]), max_size=48))
def test_padding_is_canonical(pieces: list[bytes]) -> None:
    """Whatever unpads is exactly what pad makes of the result."""
    padded = b"".join(pieces)
    try:
        plaintext = unpad(padded)
    except ValueError:
        return
    assert pad(plaintext) == padded
