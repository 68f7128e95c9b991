"""Masks: the part of a value that a reader sees who may see it masked only."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.base.pii import Pii
from vault_etl.crypto.fields import Field
from vault_etl.crypto.masking import masked


@pytest.mark.parametrize(
    ("field", "value", "shown"),
    [
        (Field.IP, "203.0.113.7", "*.*.*.7"),
        (Field.IP, " 203.0.113.207 ", "*.*.*.207"),
        (Field.IP, "::ffff:203.0.113.7", "*.*.*.7"),
        (Field.IP, "2001:db8::a07", "*:*07"),
        (Field.DEVICE_ID, "593-47-5928", "*28"),
        (Field.DEVICE_ID, "12345678", "*78"),
        (Field.DEVICE_ID, "1234567", "*"),
        (Field.DEVICE_ID, "x", "*"),
        (Field.DEVICE_ID, "gerät-№-鍵é", "*鍵é"),
    ],
)
def test_a_mask_shows_the_end_of_a_value(field: Field, value: str, shown: str) -> None:
    """A mask shows the last octet, or the last two characters; of a short value it shows nothing."""
    assert masked(field, Pii.of_text(value)).expose().decode() == shown


@given(st.ip_addresses(v=4))
def test_addresses_that_differ_before_the_last_octet_look_alike(address: object) -> None:
    """The mask holds no other part of an address, and not its length."""
    last = str(address).rpartition(".")[2]
    assert masked(Field.IP, Pii.of_text(str(address))).expose() == f"*.*.*.{last}".encode()


@given(st.text(min_size=8, max_size=60, alphabet=st.characters(codec="utf-8")))
def test_a_mask_shows_two_characters_of_a_device_id(text: str) -> None:
    """A mask has two characters of a device id of any length."""
    assert masked(Field.DEVICE_ID, Pii.of_text(text)).expose().decode() == f"*{text[-2:]}"


def test_text_that_is_not_an_address_has_no_mask() -> None:
    """Such text could be any value, and a mask would show it."""
    with pytest.raises(ValueError, match=r".+"):
        masked(Field.IP, Pii(b"no-address-4711"))
