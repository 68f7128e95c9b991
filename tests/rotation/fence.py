"""The lock of the fence, and token keys that wait behind it."""

from __future__ import annotations

from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.scratch import ARN
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.keys.make import NewKey, draw_key_id
from vault_etl.platform.resources import blocks

LOCK_FENCE = blocks("records/records.sql")["lock_fence"]


def _keys(generation: int) -> list[NewKey]:
    return [
        NewKey(
            key_id=draw_key_id(),
            purpose=KeyPurpose.TOKEN,
            field=field,
            generation=generation,
            kms_key_arn=ARN,
            wrapped_key=b"wrapped",
            fingerprint=b"8 bytes!",
            lease=None,
        )
        for field in PERSONAL_FIELDS
    ]
