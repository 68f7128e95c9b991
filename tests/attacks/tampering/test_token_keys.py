"""The rows of the token keys: a reveal computes the token again, and so would notice another key."""

from __future__ import annotations

import pytest

from tests.attacks.tampering.site import Site, refused
from vault_etl.base.errors import IntegrityError, UnusableKeyError, VaultEtlError

SWAP = """
    UPDATE data_keys AS mine SET {0} FROM data_keys AS its
    WHERE mine.purpose = 'token' AND its.purpose = 'token' AND mine.key_id <> its.key_id
"""
CHANGES: dict[str, tuple[str, type[VaultEtlError]]] = {
    "wrapped keys swapped": (
        SWAP.format("wrapped_key = its.wrapped_key"),
        UnusableKeyError,
    ),
    "wrapped keys swapped, with their fingerprints": (
        SWAP.format("wrapped_key = its.wrapped_key, fingerprint = its.fingerprint"),
        UnusableKeyError,
    ),
    "a data key's wrapped bytes": (
        (
            "UPDATE data_keys AS t SET wrapped_key = d.wrapped_key, fingerprint = d.fingerprint,"
            " kms_key_arn = d.kms_key_arn FROM data_keys AS d"
            " WHERE t.purpose = 'token' AND d.purpose = 'data' AND d.field = t.field"
            " AND d.state = 'active'"
        ),
        UnusableKeyError,
    ),
    "the data key's KMS key": (
        (
            "UPDATE data_keys SET kms_key_arn ="
            " (SELECT max(d.kms_key_arn) FROM data_keys AS d WHERE d.purpose = 'data')"
            " WHERE purpose = 'token'"
        ),
        UnusableKeyError,
    ),
    "fingerprints swapped": (SWAP.format("fingerprint = its.fingerprint"), UnusableKeyError),
    "a bit flipped": (
        (
            "UPDATE data_keys SET wrapped_key = set_byte(wrapped_key, length(wrapped_key) - 1,"
            " get_byte(wrapped_key, length(wrapped_key) - 1) # 1) WHERE purpose = 'token'"
        ),
        UnusableKeyError,
    ),
    "one deleted": (
        "DELETE FROM data_keys WHERE purpose = 'token' AND field = 'device_id'",
        IntegrityError,
    ),
    "one of another generation": (
        "UPDATE data_keys SET generation = 2 WHERE purpose = 'token' AND field = 'device_id'",
        IntegrityError,
    ),
    "both of another generation": (
        "UPDATE data_keys SET generation = 2 WHERE purpose = 'token'",
        IntegrityError,
    ),
}


@pytest.mark.parametrize(("statement", "error"), CHANGES.values(), ids=CHANGES.keys())
def test_a_value_whose_token_cannot_be_made_does_not_open(
    site: Site, statement: str, error: type[VaultEtlError]
) -> None:
    """The data key and the value are whole, and yet nothing is shown."""
    site.sql(statement)
    refused(site, site.records[0], error=error)
