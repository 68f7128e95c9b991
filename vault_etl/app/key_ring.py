"""The key ring that opens and seals, and the store and the KMS behind it."""

from __future__ import annotations

import uuid

from vault_etl.app.parts import Parts
from vault_etl.keys.kms import KmsKeyUnwrapper
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.keys.ring import MAX_CACHED_SECONDS, KeyReader, KeyRing
from vault_etl.keys.unwrap import ProvenUnwrapper


def key_store(parts: Parts) -> PostgresKeyStore:
    """The keys in the primary."""
    return PostgresKeyStore(parts.database)


def ring(
    parts: Parts,
    request_id: uuid.UUID | None = None,
    *,
    reader: KeyReader | None = None,
    max_seconds: float = MAX_CACHED_SECONDS,
) -> KeyRing:
    """The key ring. The first unwrapping verifies that the KMS binds keys to their context."""
    proven = ProvenUnwrapper(unwrapper(parts, request_id), parts.kms_proof)
    return KeyRing(
        reader or key_store(parts), proven, parts.declaration.kinds, max_seconds=max_seconds
    )


def unwrapper(parts: Parts, request_id: uuid.UUID | None = None) -> KmsKeyUnwrapper:
    """The KMS, asked to unwrap keys with this request id in the user agent."""
    return KmsKeyUnwrapper(parts.aws.kms(request_id), parts.trusted_keys)
