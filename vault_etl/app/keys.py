"""Keys: the ring that opens and seals, data keys in use, and the commands `keys init` to `keys destroy`.

The functions of `keys rotate` are in `rotation`.
"""

from __future__ import annotations

import datetime as dt
import functools
import uuid

from vault_etl.app.audit import audit_log
from vault_etl.app.in_force import must_be_in_force
from vault_etl.app.key_ring import key_store, unwrapper
from vault_etl.app.parts import Parts
from vault_etl.audit.entries import AuditRequest
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.age import KeyAge, key_age
from vault_etl.keys.destroy import KeyDestruction, UnusedKeyDestruction
from vault_etl.keys.init import InitReport, init_keys
from vault_etl.keys.kms import (
    KmsKeyFinder,
    KmsKeyGenerator,
    KmsKeyRewrapper,
    KmsKeyUnwrapper,
    KmsUnseenKeyGenerator,
)
from vault_etl.keys.make import DataKeyLeases
from vault_etl.keys.needed import DestroyTargetFinder
from vault_etl.keys.postgres import PostgresKeyStore, PostgresWrappedKeys
from vault_etl.keys.postgres_destroy import PostgresKeyEnder, PostgresKeyNeeds, PostgresOldTokens
from vault_etl.keys.rewrap import KeyRewrap, Rewrap, RewrapTarget
from vault_etl.keys.ring import KeyRing
from vault_etl.keys.value_keys import ValueKeys
from vault_etl.platform.clock import Progress


def lister(parts: Parts) -> PostgresKeyStore:
    """Build `keys list`, and the list for `keys destroy --unused`: keys in the server that `parts.reads` chose."""
    return PostgresKeyStore(parts.reads)


def unseen_generator(parts: Parts, request_id: uuid.UUID | None = None) -> KmsUnseenKeyGenerator:
    """The KMS, asked for new keys in wrapped form alone."""
    return KmsUnseenKeyGenerator(parts.aws.kms(request_id), parts.kms_keys)


def leases(parts: Parts) -> DataKeyLeases:
    """The data keys that this process seals under."""
    return DataKeyLeases(
        KmsKeyGenerator(parts.aws.kms(), parts.kms_keys),
        key_store(parts),
        parts.clock,
        max_age=dt.timedelta(hours=parts.settings.lease_hours),
        max_seals=parts.settings.lease_seals,
    )


def value_keys(parts: Parts, ring: KeyRing, request_id: uuid.UUID) -> ValueKeys:
    """The keys of many rows; keys at fault are recorded and skipped."""
    return ValueKeys(
        ring,
        KmsKeyFinder(parts.aws.kms(request_id), parts.trusted_keys),
        key_store(parts),
        KmsKeyGenerator(parts.aws.kms(), parts.kms_keys),
        unwrapper(parts, request_id),
    )


def init(parts: Parts) -> InitReport:
    """Run `keys init`."""
    must_be_in_force(parts)
    store = key_store(parts)
    return init_keys(
        reader=store,
        writer=store,
        generator=unseen_generator(parts),
        unwrapper=unwrapper(parts),
        audit=audit_log(parts),
        identity=parts.identity,
        fields=parts.declaration.field_names,
    )


def age(parts: Parts, purpose: KeyPurpose) -> KeyAge:
    """The age of the oldest active key of a purpose, and its limit.

    Raises UnavailableError, DeniedError, ConfigurationError.
    """
    oldest = key_store(parts).oldest(KeyState.ACTIVE)
    return key_age(purpose, oldest, parts.settings.key_age_limits)


def wrapped_keys(parts: Parts) -> PostgresWrappedKeys:
    """The wrapped keys that `keys rewrap` goes through."""
    return PostgresWrappedKeys(parts.database, parts.declaration)


def rewrap(parts: Parts, progress: Progress) -> Rewrap:
    """Build `keys rewrap`. Each key has a request id, which KMS sees in the user agent."""
    must_be_in_force(parts)
    return Rewrap(functools.partial(_key_rewrap, parts), parts.identity, progress)


def rewrap_target(parts: Parts, request: AuditRequest | None) -> RewrapTarget:
    """Build the check of `keys rewrap --to`."""
    request_id = request.request_id if request else None
    kms_keys = KmsKeyFinder(parts.aws.kms(request_id), parts.trusted_keys)
    return RewrapTarget(audit_log(parts, request_id), kms_keys)


def keys_to_destroy(parts: Parts) -> DestroyTargetFinder:
    """The keys that `keys destroy` is asked for, with what still needs them."""
    must_be_in_force(parts)
    return DestroyTargetFinder(
        key_store(parts), PostgresKeyNeeds(parts.database), parts.declaration.field_names
    )


def destruction(parts: Parts, progress: Progress, request_id: uuid.UUID) -> KeyDestruction:
    """Build `keys destroy`."""
    return KeyDestruction(
        audit=audit_log(parts, request_id),
        keys_to_destroy=keys_to_destroy(parts),
        ender=PostgresKeyEnder(parts.database, parts.declaration),
        old_tokens=PostgresOldTokens(parts.database),
        progress=progress,
    )


def unused_destruction(
    parts: Parts, progress: Progress, request_id: uuid.UUID
) -> UnusedKeyDestruction:
    """Build `keys destroy --unused`."""
    must_be_in_force(parts)
    return UnusedKeyDestruction(
        audit=audit_log(parts, request_id),
        lister=key_store(parts),
        ender=PostgresKeyEnder(parts.database, parts.declaration),
        progress=progress,
    )


def _key_rewrap(parts: Parts, request_id: uuid.UUID) -> KeyRewrap:
    kms = parts.aws.kms(request_id)
    return KeyRewrap(
        audit_log(parts, request_id),
        KmsKeyRewrapper(kms, parts.trusted_keys),
        KmsKeyUnwrapper(kms, parts.trusted_keys),
        wrapped_keys(parts),
    )
