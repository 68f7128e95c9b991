"""Authentic values with malformed padding: sealed by hand, under the right key, for the right place."""

from __future__ import annotations

import pytest

from tests.attacks.tampering.by_hand import sealed_by_hand
from tests.attacks.tampering.site import Site, opens, refused, value
from tests.kit.declared import IP
from tests.vectors.oracle import pad
from tests.vectors.sealed_cases import MALFORMED


def test_a_value_sealed_by_hand_opens(site: Site) -> None:
    """A value with the right padding opens: else the tests below would show nothing of padding."""
    padded = pad(value(site, site.records[0], IP))
    site.put(site.records[0], sealed_by_hand(site, site.records[0], IP, padded))
    assert opens(site, site.records[0], reveal=site.warm)


@pytest.mark.parametrize("padded", [p for p, _ in MALFORMED], ids=[why for _, why in MALFORMED])
def test_malformed_padding_does_not_open(site: Site, padded: bytes) -> None:
    """Malformed padding is refused, though AES-GCM accepts the ciphertext."""
    site.put(site.records[0], sealed_by_hand(site, site.records[0], IP, padded))
    refused(site, site.records[0], IP, reveal=site.warm)


BEHIND = {
    "none": b"",
    "no mark": b"\x00\x00\x00",
    "another mark": b"\x81\x00\x00",
    "a mark too many blocks before": b"\x80\x00\x00" + bytes(16),
    "ISO 10126, random and a length": b"\x5a\xa5\x03",
    "PKCS #7": b"\x03\x03\x03",
    "one byte too few": b"\x80\x00",
    "one byte too many": b"\x80\x00\x00\x00",
    "spaces": b"   ",
}


@pytest.mark.parametrize("behind", BEHIND.values(), ids=BEHIND.keys())
def test_the_rows_own_value_with_malformed_padding_does_not_open(site: Site, behind: bytes) -> None:
    """A value is refused even if a lenient reader would strip it to the value of the right token."""
    own = value(site, site.records[0], IP)
    assert len(own) == 13
    site.put(site.records[0], sealed_by_hand(site, site.records[0], IP, own + behind))
    refused(site, site.records[0], IP, reveal=site.warm)
