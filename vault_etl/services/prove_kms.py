"""Prove a KMS before trusting it: it must open what it wrapped, and only under its own context."""

from __future__ import annotations

import dataclasses

from vault_etl.core.fields import PERSONAL_FIELDS
from vault_etl.core.keys import StoredKey, fingerprint
from vault_etl.errors import ConfigurationError, IntegrityError, KeyUnavailableError
from vault_etl.ports.key_service import KeyUnwrapper


def prove_kms(key: StoredKey, unwrapper: KeyUnwrapper) -> None:
    """Unwrap a stored key that the caller may open, then try it with another field's context.

    Raises ConfigurationError if the second try succeeds: this KMS ignores the context, and nothing
    that is sealed under it would be bound to anything. Raises IntegrityError if the key that comes
    back is not the one stored, and whatever `unwrap` raises.
    """
    if fingerprint(unwrapper.unwrap(key), key.key_id) != key.fingerprint:
        raise IntegrityError
    other = next(field for field in PERSONAL_FIELDS if field is not key.field)
    try:
        unwrapper.unwrap(dataclasses.replace(key, field=other))
    except KeyUnavailableError:
        return
    message = "this KMS ignores the encryption context"
    raise ConfigurationError(
        message, hint="an emulator or a proxy that does is of no use here: point AWS_ENDPOINT_URL at KMS"
    )
