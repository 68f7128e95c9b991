"""New data keys and token keys, made up or stored through a writer."""

from __future__ import annotations

import datetime as dt
import os
import secrets
from collections.abc import Sequence

from tests.kit.declared import PERSONAL_FIELDS
from vault_etl.crypto.fields import FieldName, KeyPurpose
from vault_etl.crypto.keys import DataKey, KeyMaterial, fingerprint
from vault_etl.keys.make import DataKeyWriter, NewKey

HOUR = dt.timedelta(hours=1)


def stored_key(writer: DataKeyWriter, field: FieldName, lease: dt.timedelta = HOUR) -> DataKey:
    """A data key that this login has stored."""
    new, material = made_up_key(KeyPurpose.DATA, field, lease=lease)
    assert writer.add_data_key(new)
    return DataKey(new.key_id, field, material)


def made_up_key(
    purpose: KeyPurpose,
    field: FieldName,
    *,
    generation: int | None = None,
    lease: dt.timedelta | None = None,
) -> tuple[NewKey, KeyMaterial]:
    """A key that no KMS wrapped: nothing here unwraps one."""
    key_id, material = secrets.randbelow(2**32 - 1) + 1, KeyMaterial(os.urandom(32))
    new = NewKey(
        key_id=key_id,
        purpose=purpose,
        field=field,
        generation=generation,
        kms_key_arn="arn:aws:kms:eu-west-1:000000000000:key/made-up",
        wrapped_key=os.urandom(64),
        fingerprint=fingerprint(material, key_id),
        lease=lease,
    )
    return new, material


def token_keys(generation: int, fields: Sequence[FieldName] = PERSONAL_FIELDS) -> list[NewKey]:
    """One made-up token key a field."""
    return [made_up_key(KeyPurpose.TOKEN, field, generation=generation)[0] for field in fields]
