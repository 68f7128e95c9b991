"""Stored bytes that were changed: each bit, each length, and whatever was put behind them."""

from __future__ import annotations

import pytest

from tests.attacks.tampering.site import Site, opens, refused

LENGTH = 49
"""Of a sealed IPv4 address."""
PARTS = {
    "format": range(1),
    "key id": range(1, 5),
    "nonce": range(5, 17),
    "body": range(17, 33),
    "tag": range(33, 49),
}
BITS = [
    pytest.param(byte * 8 + bit, id=f"{part}, byte {byte}, bit {bit}")
    for part, where in PARTS.items()
    for byte in where
    for bit in range(8)
]
APPENDED = {
    "a zero": b"\x00",
    "a byte": b"\xff",
    "a tag": bytes(16),
    "a block and a tag": bytes(32),
    "a header": b"\x01" + bytes(16),
    "a kilobyte": bytes(1024),
    "a megabyte": bytes(2**20),
}


def test_the_untouched_value_opens(site: Site) -> None:
    """Else every test here would pass for nothing."""
    assert len(site.ciphertext(site.records[0])) == LENGTH
    assert opens(site, site.records[0])
    assert opens(site, site.records[0], reveal=site.warm)


@pytest.mark.parametrize("bit", BITS)
def test_a_flipped_bit_does_not_open(site: Site, bit: int) -> None:
    """Wherever it is."""
    stored = bytearray(site.ciphertext(site.records[0]))
    stored[bit // 8] ^= 1 << bit % 8
    site.put(site.records[0], bytes(stored))
    refused(site, site.records[0], reveal=site.warm)


@pytest.mark.parametrize("length", range(LENGTH))
def test_a_truncated_value_does_not_open(site: Site, length: int) -> None:
    """Cut at the end, to any length, to nothing too; nor cut at the start."""
    stored = site.ciphertext(site.records[0])
    for cut in {stored[:length], stored[LENGTH - length :]}:
        site.put(site.records[0], cut)
        refused(site, site.records[0], reveal=site.warm)


@pytest.mark.parametrize("behind", APPENDED.values(), ids=APPENDED.keys())
def test_bytes_behind_a_value_do_not_open(site: Site, behind: bytes) -> None:
    """Nor before it, nor the value twice."""
    stored = site.ciphertext(site.records[0])
    for longer in (stored + behind, behind + stored, stored[:17] + behind + stored[17:]):
        site.put(site.records[0], longer)
        refused(site, site.records[0], reveal=site.warm)


def test_a_value_twice_does_not_open(site: Site) -> None:
    """Two values in one place are not a value."""
    site.put(site.records[0], site.ciphertext(site.records[0]) * 2)
    refused(site, site.records[0], reveal=site.warm)
