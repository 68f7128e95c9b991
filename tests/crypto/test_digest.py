"""Digests agree with the standard library's, and length prefixes keep parts apart."""

from __future__ import annotations

import hashlib
import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.crypto.digest import MAX_PREFIXED_BYTES, hmac_sha256, lp, sha256


@given(st.lists(st.binary()))
def test_sha256_is_that_of_the_parts_joined(parts: list[bytes]) -> None:
    """The digest is the one that hashlib computes of the joined parts."""
    assert sha256(*parts) == hashlib.sha256(b"".join(parts)).digest()


@given(st.binary(min_size=32, max_size=32), st.lists(st.binary()))
def test_hmac_is_that_of_the_parts_joined(key: bytes, parts: list[bytes]) -> None:
    """The HMAC is the one that the standard library's hmac computes of the joined parts."""
    assert hmac_sha256(key, *parts) == hmac.digest(key, b"".join(parts), "sha256")


def test_a_length_prefix_counts_bytes_big_endian() -> None:
    """A prefix is two bytes of length, and UTF-8 follows."""
    assert lp("") == b"\x00\x00"
    assert lp("ip") == b"\x00\x02ip"
    assert lp("é") == b"\x00\x02\xc3\xa9"
    assert lp("a" * 300)[:2] == b"\x01\x2c"


def test_a_length_prefix_has_16_bits() -> None:
    """A text of 65,535 bytes fits, one byte more does not."""
    assert len(lp("a" * MAX_PREFIXED_BYTES)) == 2 + 0xFFFF
    with pytest.raises(ValueError, match="16 bits"):
        lp("a" * (MAX_PREFIXED_BYTES + 1))


@given(st.lists(st.text(max_size=8), min_size=2, max_size=4), st.lists(st.text(max_size=8)))
def test_two_lists_of_texts_never_join_to_the_same_bytes(one: list[str], other: list[str]) -> None:
    """The prefix keeps the texts of a list apart."""
    assert (b"".join(map(lp, one)) == b"".join(map(lp, other))) == (one == other)
