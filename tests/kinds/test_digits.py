"""The kinds `digits` and `uuid`: separators count for nothing, and every digit counts."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.kinds.make import make_kind
from vault_etl.kinds.uuid_text import UUID, canonical_uuid

DIGITS = make_kind("digits", {})


@pytest.mark.parametrize(
    ("text", "is_taken"),
    [("1234567", False), ("12-34 56.78", True), ("123456789", True), ("1234567890", False)],
)
def test_the_declared_lengths_count_digits(text: str, *, is_taken: bool) -> None:
    """Separators are not counted."""
    kind = make_kind("digits", {"min": 8, "max": 9})
    if is_taken:
        assert kind.accept(text) == text
    else:
        with pytest.raises(ValueError, match=r"^too few or too many digits$"):
            kind.accept(text)


def test_the_lengths_bind_new_values_alone() -> None:
    """A declaration may change them: a stored number keeps its form."""
    assert make_kind("digits", {"min": 8, "max": 9}).canonical("12 3") == b"123"


@pytest.mark.parametrize(
    ("options", "count"), [({"min": 16, "max": 16}, "16"), ({"min": 13, "max": 19}, "13 to 19")]
)
def test_the_hint_has_the_lengths(options: dict[str, int], count: str) -> None:
    """A person sees which numbers there are."""
    assert f"a number of {count} digits" in make_kind("digits", options).hint


def test_numbers_of_json_are_taken_without_sign_and_fraction() -> None:
    """Their spelling is the value; a sign or a fraction is no separator."""
    assert DIGITS.numbers is not None
    assert [bool(DIGITS.numbers.fullmatch(n)) for n in (b"41", b"-41", b"4.1", b"4e1")] == [
        *(True, False, False, False)
    ]
    for name in ("ip", "email", "phone", "uuid"):
        assert make_kind(name, {}).numbers is None


def test_no_check_digit_is_asked_for() -> None:
    """Two numbers that differ in their last digit are two numbers, and both are stored."""
    assert DIGITS.canonical("4111111111111111") != DIGITS.canonical("4111111111111112")


def test_the_mask_of_a_number_is_its_last_two_digits() -> None:
    """Of a short number it shows nothing; separators are not counted."""
    assert DIGITS.mask("4111 1111-1111 1234") == "*34"
    assert DIGITS.mask("123.456.7") == "*"


@given(st.uuids())
def test_the_canonical_uuid_is_its_bytes(value: uuid.UUID) -> None:
    """In the order of the text, whatever the version: the four spellings agree."""
    for text in (str(value), value.hex, f"{{{value}}}", value.urn, str(value).upper()):
        assert canonical_uuid(text) == value.bytes
    assert UUID.mask(str(value)) == f"*{value.hex[-2:]}"
