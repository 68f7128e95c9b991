"""The kind `text`: composed and stripped alike on every Python, and nothing else."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.kinds.blank import WHITE_SPACE, is_blank
from vault_etl.kinds.text import canonical_text, text_kind


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Jos\u00e9", "Jose\u0301"),
        ("\u212b", "\u00c5"),
        ("593-47-5928", " \t593-47-5928\r\n"),
        ("593-47-5928", "\u00a0593-47-5928\u3000"),
    ],
)
def test_two_spellings_of_a_device_are_one_device(one: str, other: str) -> None:
    """Canonically equivalent text, and text with white space around it, are the same device."""
    assert canonical_text(one) == canonical_text(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ABC", "abc"),
        ("\ufb01", "fi"),  # compatibility, NFKC's business
        ("\uff11", "1"),
        ("a b", "ab"),
        ("stra\u00dfe", "strasse"),
        ("0593", "593"),
    ],
)
def test_two_devices_stay_two(one: str, other: str) -> None:
    """Case, inner spaces, compatibility forms and zeros tell devices apart."""
    assert canonical_text(one) != canonical_text(other)


def test_a_canonical_text_is_utf8_in_nfc() -> None:
    """The bytes are those of docs/design.md: NFC, stripped, UTF-8."""
    assert canonical_text("  e\u0301  ") == b"\xc3\xa9"


BLANK = ["", " ", "\t\r\n", "\u00a0", "\u2003\u3000", "\x1c\x1f\x85", "\u200b", "\ufeff \u3164"]


@pytest.mark.parametrize("text", BLANK)
def test_a_blank_device_id_is_rejected(text: str) -> None:
    """Blanks must not become one giant duplicate."""
    with pytest.raises(ValueError, match="blank"):
        canonical_text(text)


@given(st.text())
def test_the_canonical_text_is_idempotent(text: str) -> None:
    """Canonicalising twice changes nothing, and what is composed does not begin or end in white space."""
    try:
        once = canonical_text(text)
    except ValueError:
        assert is_blank(text)
        return
    assert canonical_text(once.decode()) == once
    assert once.decode() == once.decode().strip(WHITE_SPACE)
    assert is_blank(once.decode()) is False


@given(st.text(st.characters(max_codepoint=0x21F)))
def test_the_canonical_form_of_old_characters_is_nfc(text: str) -> None:
    """Characters of Unicode 3.2 are composed as every later version composes them."""
    if not is_blank(text):
        composed = unicodedata.normalize("NFC", text).strip(WHITE_SPACE)
        assert canonical_text(text) == composed.encode()


@pytest.mark.parametrize("text", ["a\U00010efd\u0301", "e\U0001e08f\u0301", "\U00016d67" * 2])
def test_later_characters_stay_as_they_are(text: str) -> None:
    """A character newer than Unicode 3.2 is not moved, composed, or composed across."""
    assert canonical_text(text) == text.encode()


def test_the_fixed_white_space_is_what_this_python_strips() -> None:
    """Today no space is missing from the set; a later Unicode may differ from it, and changes nothing."""
    for character in WHITE_SPACE:
        assert character.isspace()
        assert canonical_text(f"{character}x{character}") == b"x"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("593-47-5928", "*28"),
        ("12345678", "*78"),
        ("1234567", "*"),
        ("x", "*"),
        ("gerät-№-鍵é", "*鍵é"),
    ],
)
def test_the_mask_of_a_text_is_its_end(value: str, shown: str) -> None:
    """A mask shows the last two characters; of a short text it shows nothing."""
    assert text_kind(256).mask(value) == shown


@given(st.text(min_size=8, max_size=60, alphabet=st.characters(codec="utf-8")))
def test_a_mask_shows_two_characters_of_a_text(text: str) -> None:
    """A mask has two characters of a text of any length."""
    assert text_kind(256).mask(text) == f"*{text[-2:]}"


def test_the_text_of_an_address_is_a_text() -> None:
    """It is kept as it is, like any other."""
    assert canonical_text("198.51.100.7") == b"198.51.100.7"
