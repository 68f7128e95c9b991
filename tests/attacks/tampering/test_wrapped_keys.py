"""The row of a data key: its wrapped bytes and its fingerprint."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attacks.tampering.by_hand import (
    bytes_of,
    context,
    forge,
    kms_of,
    put_key,
    sealed_by_hand,
)
from tests.attacks.tampering.site import Key, Site, refused
from tests.kit.declared import DEVICE_ID, IP
from tests.vectors import oracle
from vault_etl.base.errors import IntegrityError, UnusableKeyError
from vault_etl.crypto.fields import QUARANTINE

OTHERS: dict[str, Callable[[Site], Key]] = {
    "another field": lambda site: site.key_of(DEVICE_ID),
    "quarantine": lambda site: site.key_of(QUARANTINE),
    "another live key of the field": lambda site: site.spare["live"],
    "a retired key of the field": lambda site: site.spare["retired"],
    "the field's token key": lambda site: site.key_of(IP, "token"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_wrapped_keys_swapped_between_rows_do_not_open(
    site: Site, other: Callable[[Site], Key]
) -> None:
    """KMS refuses them: alone, with their fingerprint, and with the KMS key that they name."""
    its = other(site)
    arns: tuple[str | None, ...] = (None, its.kms_key_arn)
    for arn in arns:
        for fingerprint in (None, its.fingerprint):
            put_key(site, bytes_of(its), arn=arn, fingerprint=fingerprint)
            refused(site, site.records[0], IP, error=UnusableKeyError)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a byte": lambda _: b"\x01",
    "zeros": lambda wrapped: bytes(len(wrapped)),
    "cut by a byte": lambda wrapped: wrapped[:-1],
    "cut by half": lambda wrapped: wrapped[: len(wrapped) // 2],
    "its first byte gone": lambda wrapped: wrapped[1:],
    "a byte appended": lambda wrapped: wrapped + b"\x00",
    "twice": lambda wrapped: wrapped * 2,
    "as long as may be": lambda wrapped: wrapped.ljust(1_024, b"\x00"),
    "the key itself": lambda _: bytes(range(32)),
}
BITS = (0, 20, 35, 36, 40, 48, 60, 80, -17, -16, -1)
"""Bytes of a wrapped key in which a bit is flipped; the emulator's have more than 100."""


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_wrapped_key_does_not_open(site: Site, damage: Callable[[bytes], bytes]) -> None:
    """Cut, appended to, replaced: what KMS says of it is not told."""
    put_key(site, damage(bytes_of(site.key_of(IP))))
    refused(site, site.records[0], IP, error=UnusableKeyError)


@pytest.mark.parametrize("byte", BITS)
def test_a_flipped_bit_of_a_wrapped_key_does_not_open(site: Site, byte: int) -> None:
    """Wherever it is: in what names the KMS key, its nonce, the body or the tag."""
    wrapped = bytearray(bytes_of(site.key_of(IP)))
    wrapped[byte] ^= 1
    put_key(site, bytes(wrapped))
    refused(site, site.records[0], IP, error=UnusableKeyError)


CONTEXTS: dict[str, Callable[[int], dict[str, str]]] = {
    "another key id": lambda key_id: context("data", "ip", key_id + 1),
    "the key id in hexadecimal": lambda key_id: (
        context("data", "ip", key_id) | {"key_id": f"{key_id:#x}"}
    ),
    "another field": lambda key_id: context("data", "device_id", key_id),
    "another purpose": lambda key_id: context("token", "ip", key_id),
    "another program": lambda key_id: context("data", "ip", key_id) | {"app": "another"},
    "a pair too many": lambda key_id: context("data", "ip", key_id) | {"x": "y"},
    "a pair too few": lambda key_id: {
        name: its for name, its in context("data", "ip", key_id).items() if name != "field"
    },
    "capitals": lambda key_id: context("data", "IP", key_id),
    "none": lambda _: {},
}


@pytest.mark.parametrize("made_under", CONTEXTS.values(), ids=CONTEXTS.keys())
def test_a_key_wrapped_under_another_context_does_not_open(
    site: Site, made_under: Callable[[int], dict[str, str]]
) -> None:
    """The key is wrapped by our own KMS key, its fingerprint is right, and the value is sealed again under it."""
    mine = site.key_of(IP)
    made = kms_of(site, "admin").generate_data_key(
        KeyId=mine.kms_key_arn,
        NumberOfBytes=32,
        EncryptionContext=made_under(mine.key_id),
    )
    forge(site, made["Plaintext"], made["CiphertextBlob"])
    refused(site, site.records[0], IP, error=UnusableKeyError)


@pytest.mark.parametrize("length", [1, 16, 24, 31, 33, 64])
def test_a_key_of_another_length_does_not_open(site: Site, length: int) -> None:
    """Wrapped by our own KMS key under the right context: AES-128 is not slipped in."""
    mine, material = site.key_of(IP), bytes(range(length))
    wrapped = kms_of(site, "admin").encrypt(
        KeyId=mine.kms_key_arn,
        Plaintext=material,
        EncryptionContext=context("data", "ip", mine.key_id),
    )["CiphertextBlob"]
    put_key(site, wrapped, fingerprint=oracle.fingerprint(material, mine.key_id))
    refused(site, site.records[0], IP, error=UnusableKeyError)


@pytest.mark.parametrize("byte", range(8))
def test_a_key_with_another_fingerprint_does_not_open(site: Site, byte: int) -> None:
    """One bit of it is enough."""
    mine = site.key_of(IP)
    fingerprint = bytearray(mine.fingerprint)
    fingerprint[byte] ^= 1 << byte
    put_key(site, bytes_of(mine), fingerprint=bytes(fingerprint))
    refused(site, site.records[0], IP, error=UnusableKeyError)


@pytest.mark.parametrize("fits", [True, False], ids=["its fingerprint", "the old fingerprint"])
def test_a_new_key_under_the_right_context_does_not_open(site: Site, *, fits: bool) -> None:
    """Made as ingest makes them, put in the place of the old one: nothing that was sealed opens."""
    mine = site.key_of(IP)
    made = kms_of(site, "ingest").generate_data_key(
        KeyId=mine.kms_key_arn,
        NumberOfBytes=32,
        EncryptionContext=context("data", "ip", mine.key_id),
    )
    fingerprint = oracle.fingerprint(made["Plaintext"], mine.key_id) if fits else None
    put_key(site, made["CiphertextBlob"], fingerprint=fingerprint)
    refused(site, site.records[0], IP, error=IntegrityError if fits else UnusableKeyError)


INVENTED = {
    "another address": b"192.0.2.1",
    "no address": b"somewhere",
    "nothing": b"",
    "not UTF-8": b"\xff",
}


@pytest.mark.parametrize("invented", INVENTED.values(), ids=INVENTED.keys())
def test_an_invented_value_does_not_open(site: Site, invented: bytes) -> None:
    """Sealed under the key itself, for the right place: it has not the row's token, or none at all."""
    stored = sealed_by_hand(site, site.records[0], IP, oracle.pad(invented))
    site.put(site.records[0], stored)
    refused(site, site.records[0], IP)
