"""The key id in a ciphertext's header, changed to that of another key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.attacks.tampering.by_hand import opened_by_hand, sealed_by_hand
from tests.attacks.tampering.site import Site, refused, value
from tests.kit.declared import DEVICE_ID, IP
from tests.vectors.oracle import pad
from vault_etl.base.errors import IntegrityError, UnusableKeyError, VaultEtlError
from vault_etl.crypto.fields import QUARANTINE, FieldName

KEY_IDS: dict[str, tuple[Callable[[Site], int], type[VaultEtlError]]] = {
    "another live one": (lambda site: site.spare["live"].key_id, IntegrityError),
    "a retired one": (lambda site: site.spare["retired"].key_id, IntegrityError),
    "a destroyed one": (lambda site: site.spare["destroyed"].key_id, UnusableKeyError),
    "an unknown one": (lambda _: 0x12345678, IntegrityError),
    "0": (lambda _: 0, IntegrityError),
    "the highest": (lambda _: 2**32 - 1, IntegrityError),
    "another field's": (lambda site: site.key_of(DEVICE_ID).key_id, IntegrityError),
    "quarantine's": (lambda site: site.key_of(QUARANTINE).key_id, IntegrityError),
    "its field's token key": (
        lambda site: site.key_of(IP, "token").key_id,
        IntegrityError,
    ),
}


@pytest.mark.parametrize(("key_id", "error"), KEY_IDS.values(), ids=KEY_IDS.keys())
def test_another_key_id_does_not_open(
    site: Site, key_id: Callable[[Site], int], error: type[VaultEtlError]
) -> None:
    """Live, retired, destroyed or unknown: with fresh keys, and with cached ones."""
    stored = site.ciphertext(site.records[0])
    site.put(site.records[0], stored[:1] + key_id(site).to_bytes(4, "big") + stored[5:])
    refused(site, site.records[0], IP, error=error)
    refused(site, site.records[0], IP, error=error, reveal=site.warm)


@pytest.mark.parametrize("state", ["live", "retired"])
def test_a_key_with_the_id_of_another_does_not_open(site: Site, state: str) -> None:
    """The row's whole identity exchanged: its id, its wrapped bytes and its fingerprint stay together."""
    mine, other = site.key_of(IP), site.spare[state]
    site.sql("DELETE FROM data_keys WHERE key_id = %s", mine.key_id)
    site.sql("UPDATE data_keys SET key_id = %s WHERE key_id = %s", mine.key_id, other.key_id)
    refused(site, site.records[0], IP, error=UnusableKeyError)


def test_a_deleted_key_does_not_open(site: Site) -> None:
    """A row that is gone is an unknown key."""
    site.sql("DELETE FROM data_keys WHERE key_id = %s", site.key_of(IP).key_id)
    refused(site, site.records[0], IP)


def test_a_destroyed_key_does_not_open(site: Site) -> None:
    """A key whose id is known and whose bytes are gone is named, and every caller gets the same answer."""
    site.sql(
        "UPDATE data_keys SET state = 'destroyed', wrapped_key = NULL WHERE key_id = %s",
        site.key_of(IP).key_id,
    )
    text = refused(site, site.records[0], IP, error=UnusableKeyError)
    assert "is destroyed" in text


@pytest.mark.parametrize("field", [DEVICE_ID, QUARANTINE])
def test_a_value_sealed_under_another_fields_key_does_not_open(
    site: Site, field: FieldName
) -> None:
    """Bound to its place, padded and of the row's token: a key opens values of its own field alone."""
    record_id, its = site.records[0], site.key_of(field)
    padded = pad(value(site, record_id, IP))
    key = (its.key_id, opened_by_hand(site, its, field))
    site.put(record_id, sealed_by_hand(site, record_id, IP, padded, key))
    refused(site, record_id, IP)


def test_a_value_sealed_under_a_token_key_does_not_open(site: Site) -> None:
    """Nor do token keys open anything."""
    record_id, its = site.records[0], site.key_of(IP, "token")
    padded = pad(value(site, record_id, IP))
    key = (its.key_id, opened_by_hand(site, its, IP, "token"))
    site.put(record_id, sealed_by_hand(site, record_id, IP, padded, key))
    refused(site, record_id, IP)
