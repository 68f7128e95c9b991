"""The kind `phone`: spellings of one number agree, and a later numbering plan changes no stored value."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.kinds.kind import Kind
from vault_etl.kinds.phone import canonical_phone, phone_kind

NATIONAL: Final[list[tuple[str, str, str]]] = [
    (region, text, e164)
    for region, text, e164 in json.loads(
        Path(__file__).with_name("national_numbers.json").read_bytes()
    )
]
"""A landline and a mobile number of each region, made up by the authors of the library: national, and E.164."""

SWISS: Final = phone_kind("CH")


def test_national_numbers_are_read_as_they_were() -> None:
    """A package with other plans would give new values of stored persons another token.

    If an upgrade reads one of these otherwise, a country has changed its plan: say so in the changelog.
    """
    kinds = {region: phone_kind(region) for region, _, _ in NATIONAL}
    assert len(kinds) > 240
    assert [(region, text, kinds[region].accept(text)) for region, text, _ in NATIONAL] == NATIONAL


def test_a_number_in_e164_is_the_same_in_every_region() -> None:
    """The region is for national spellings alone, so a declaration may change it."""
    for kind in (phone_kind(None), SWISS, phone_kind("US")):
        assert [kind.accept(e164) for _, _, e164 in NATIONAL] == [row[2] for row in NATIONAL]


@pytest.mark.parametrize(
    "text",
    [
        "044 668 18 00",
        "0446681800",
        "(044) 668-18-00",
        "044.668.18.00",
        "0041 44 668 18 00",
        "+41 44 668 18 00",
        "+41 (0)44 668 18 00",
        "  +41446681800 ",
    ],
)
def test_every_spelling_of_a_number_is_one(text: str) -> None:
    """What is sealed is the number in E.164."""
    assert SWISS.accept(text) == "+41446681800"


@pytest.mark.parametrize(
    ("text", "region"),
    [
        ("253-0000", "US"),  # of which area?
        ("112", "CH"),
        ("911", "US"),
        ("+41 00 44 668 18 00", None),  # read once more, it would be another number
        ("+4900717563507", None),
        ("044 668 18 00", None),
        ("044 668 18", "CH"),
        ("044 668 18 00 00 00", "CH"),
        ("+49 1234567890123456", None),  # longer than E.164
        ("1-800-FLOWERS", "US"),
        ("044 668 18 00 ext 7", "CH"),
        ("044 668 18 00;ext=7", "CH"),
        ("044 668 18 00/01", "CH"),
        ("call 044 668 18 00", "CH"),
        ("\uff10\uff14\uff14 668 18 00", "CH"),
    ],
)
def test_text_that_is_not_one_whole_number_is_refused(text: str, region: str | None) -> None:
    """The package reads a number out of most of these texts: perhaps that of another person."""
    with pytest.raises(ValueError, match=r"^not the text of one telephone number$"):
        phone_kind(region).accept(text)


def test_a_number_needs_no_assigned_range() -> None:
    """A range that a country assigns tomorrow is not refused today: length is all that counts."""
    number = phonenumbers.parse("+41 99 999 99 99")
    assert not phonenumbers.is_valid_number(number)
    assert SWISS.accept("099 999 99 99") == "+41999999999"


DIALLED: Final = st.builds(
    "{}{}".format,
    st.sampled_from(("", "0", "00", "1", "+41", "+410", "+4900", "+440", "+1", "+3900", "+7")),
    st.text("0123456789 ", max_size=14),
)


@given(DIALLED, st.sampled_from((SWISS, phone_kind(None), phone_kind("US"), phone_kind("IT"))))
def test_a_number_that_is_sealed_is_read_as_itself(text: str, kind: Kind) -> None:
    """In every region: a person who types what `reveal` showed finds the record."""
    try:
        sealed = kind.accept(text)
    except ValueError:
        return
    assert canonical_phone(sealed) == sealed.encode()
    assert SWISS.accept(sealed) == phone_kind(None).accept(sealed) == sealed


@pytest.mark.parametrize(
    "text", ["+0123456", "+12345", "+1234567890123456", "41446681800", "+41 4"]
)
def test_only_e164_has_a_canonical_form(text: str) -> None:
    """A sealed value was accepted before, so other text was not sealed by this program."""
    with pytest.raises(ValueError, match=r"^not a number in E\.164$"):
        canonical_phone(text)


def test_the_mask_of_a_number_is_its_last_two_digits() -> None:
    """A mask shows neither the country nor the length; of a short number it shows nothing."""
    assert SWISS.mask("+41446681800") == "*00"
    assert SWISS.mask("+247628") == "*"


def test_zeros_of_ten_digits_are_a_placeholder() -> None:
    """So American programs write that they have no number."""
    assert phone_kind("US").accept("000-000-0000") in phone_kind("US").placeholders
