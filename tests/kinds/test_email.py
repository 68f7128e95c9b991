"""The kind `email`: the mapping of domains does not follow Unicode, and nothing else is folded."""

from __future__ import annotations

import hashlib
import unicodedata
from typing import Final

import idna
import pytest

from vault_etl.kinds.email_address import EMAIL

MAPPED: Final = "d16d32bfda1061781b1a03386fa1761a50db981db64080fab2da009b5fa39d8c"
"""SHA-256 over the code points of Unicode 3.2 that UTS 46 maps, each with its mapping."""


def test_the_mapping_of_domains_is_the_one_that_was_frozen() -> None:
    """A package with another mapping would give new values of stored persons another token.

    The mappings of idna 2.10 (Unicode 13) to 3.20 are equal, where both have one. If an upgrade maps code points
    that it refused before, check that no other mapping has changed, and write the new digest.
    """
    digest = hashlib.sha256()
    for code_point in range(0x80, 0x110000):
        character = chr(code_point)
        if unicodedata.ucd_3_2_0.category(character) in ("Cn", "Cs", "Co"):
            continue
        try:
            mapped = idna.uts46_remap(f"a{character}b", std3_rules=True)
        except idna.IDNAError:
            continue
        digest.update(f"{code_point:x} {mapped}\n".encode())
    assert digest.hexdigest() == MAPPED


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Bob@example.com", "bob@example.com"),
        ("b.ob@gmail.com", "bob@gmail.com"),
        ("bob+tag@example.com", "bob@example.com"),
        ("bob@googlemail.com", "bob@gmail.com"),
        ("bob@stra\u00dfe.example", "bob@strasse.example"),
        ("bob@www.example.com", "bob@example.com"),
    ],
)
def test_two_mailboxes_stay_two(one: str, other: str) -> None:
    """The rule of one provider is no rule of all."""
    assert EMAIL.canonical(EMAIL.accept(one)) != EMAIL.canonical(EMAIL.accept(other))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("bob@example.com", "*@*"),
        ("1234567@example.com", "*@*"),
        ("bob.smith@example.com", "*th@*"),
        ("bob.smith@a.example", "*th@*"),
    ],
)
def test_the_mask_of_an_address_is_the_end_of_its_local_part(value: str, shown: str) -> None:
    """A mask shows two characters of a long local part, and nothing of the domain."""
    assert EMAIL.mask(value) == shown


@pytest.mark.parametrize("octets", [254, 255])
def test_the_longest_address_has_254_octets(octets: int) -> None:
    """The limit is that of the canonical form."""
    text = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * (octets - 193)}"
    assert len(text) == octets
    if octets == 254:
        assert EMAIL.canonical(text) == text.encode()
    else:
        with pytest.raises(ValueError, match=r"^not the text of one mailbox$"):
            EMAIL.canonical(text)
