"""The search finds what it must find: else its silence would prove nothing."""

from __future__ import annotations

import base64

import pytest

from tests.attacks.leaks.search import forms, found
from tests.kit.vault import sample_events

VALUE = "203.0.113.77"


@pytest.mark.parametrize("before", ["", "a", "ab", "abc", "\x00\xff"])
@pytest.mark.parametrize("behind", ["", "z", "yz", "\x00\x00\x00"])
@pytest.mark.parametrize("value", [VALUE, "1.2.3.4", "548-12-5991"])
def test_the_search_finds_every_form_between_any_neighbours(
    value: str, before: str, behind: str
) -> None:
    """A value is found as text, hex of either case, and base64 of either alphabet at every alignment."""
    text = f"{before}{value}{behind}".encode()
    assert (value, "text") in found([value], text)
    assert found([value], text.hex().encode()) == {(value, "hex")}
    assert found([value], text.hex().upper().encode()) == {(value, "hex")}
    assert found([value], base64.b64encode(text)) == {(value, "base64")}
    assert found([value], base64.urlsafe_b64encode(text)) == {(value, "base64")}


def test_the_search_finds_nothing_where_nothing_is() -> None:
    """Another value is not found in any form."""
    other = b"203.0.113.78"
    for text in (other, other.hex().encode(), base64.b64encode(other)):
        assert found([VALUE], text) == set()


def test_the_search_refuses_what_could_be_found_by_chance() -> None:
    """A value of fewer than seven bytes is an error; no sample is one."""
    with pytest.raises(ValueError, match="too short"):
        list(forms("1.2.3"))
    assert len(sample_events()) == 100
