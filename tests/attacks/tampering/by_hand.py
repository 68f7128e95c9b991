"""The sealing path by hand: straight to KMS and to AES-GCM, from docs/formats.md, not through our code."""

from __future__ import annotations

import functools
import os
import uuid
from typing import TYPE_CHECKING, Any, Final

import boto3

from tests.attacks.tampering.site import Key, Site, value
from tests.kit.declared import IP
from tests.vectors import oracle
from vault_etl.crypto.fields import FieldName
from vault_etl.local.emulator import REGION
from vault_etl.local.provision import Credentials

if TYPE_CHECKING:
    from types_boto3_kms import KMSClient

REVEALS: Final = "reveal"
"""The role that may open data keys."""


def kms_of(site: Site, role: str, region: str | None = None) -> KMSClient:
    """KMS, with a role's own credentials; of another region, which knows none of our keys, if asked."""
    credentials = site.vault.provisioned.credentials[role]
    return _kms(site.vault.endpoint, credentials, region or REGION)


@functools.cache
def _kms(endpoint: str, credentials: Credentials, region: str) -> KMSClient:
    """Made once: boto3 reads its models from files for each."""
    return boto3.session.Session(
        aws_access_key_id=credentials.access_key_id,
        aws_secret_access_key=credentials.secret_access_key,
        region_name=region,
    ).client("kms", endpoint_url=endpoint)


def context(purpose: str, field: str, key_id: int) -> dict[str, str]:
    """The encryption context, written out."""
    return {"app": "vault-etl", "purpose": purpose, "field": field, "key_id": str(key_id)}


def opened_by_hand(site: Site, key: Key, field: str, purpose: str = "data") -> bytes:
    """A key in plaintext: 32 bytes."""
    assert key.wrapped_key is not None
    return kms_of(site, REVEALS).decrypt(
        KeyId=key.kms_key_arn,
        CiphertextBlob=key.wrapped_key,
        EncryptionContext=context(purpose, field, key.key_id),
    )["Plaintext"]


def sealed_by_hand(
    site: Site,
    record_id: uuid.UUID,
    field: FieldName,
    padded: bytes,
    key: tuple[int, bytes] | None = None,
    elsewhere: dict[str, Any] | None = None,
) -> bytes:
    """A ciphertext of Alice's, of a text that the caller padded.

    It is sealed under the field's own key or another, for this place, or `elsewhere`: with a part
    of the associated data that is wrong.
    """
    key_id, material = key or _own_key(site, field)
    place: dict[str, Any] = {
        "table": "user_logins",
        "field": field,
        "record": record_id,
        "user_id": "alice",
    }
    aad = oracle.associated_data(**{**place, "key_id": key_id, **(elsewhere or {})})
    return oracle.seal(material, key_id, os.urandom(12), padded, aad)


def _own_key(site: Site, field: FieldName) -> tuple[int, bytes]:
    stored = site.key_of(field)
    return stored.key_id, opened_by_hand(site, stored, field)


def put_key(
    site: Site,
    wrapped: bytes,
    *,
    arn: str | None = None,
    fingerprint: bytes | None = None,
    purpose: str = "data",
) -> None:
    """Change the row of the address's key."""
    site.sql(
        "UPDATE data_keys SET wrapped_key = %s, kms_key_arn = coalesce(%s, kms_key_arn),"
        " fingerprint = coalesce(%s, fingerprint) WHERE key_id = %s",
        wrapped,
        arn,
        fingerprint,
        site.key_of(IP, purpose).key_id,
    )


def bytes_of(key: Key) -> bytes:
    """The wrapped bytes of a key."""
    assert key.wrapped_key is not None
    return key.wrapped_key


def forge(site: Site, material: bytes, wrapped: bytes, *, arn: str | None = None) -> None:
    """A whole forgery: the row's own address, sealed under a key of the forger's, whose row fits it."""
    mine = site.key_of(IP)
    own = value(site, site.records[0], IP)
    put_key(site, wrapped, arn=arn, fingerprint=oracle.fingerprint(material, mine.key_id))
    padded = oracle.pad(own)
    stored = sealed_by_hand(site, site.records[0], IP, padded, (mine.key_id, material))
    site.put(site.records[0], stored)
