"""Fields and tables of the default declaration, which most suites run on."""

from __future__ import annotations

import uuid
from typing import Final

from vault_etl.crypto.ciphertext import ValuePlace
from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName

USER_LOGINS: Final = EventName("user_logins")
TABLES: Final = (USER_LOGINS, QUARANTINE_TABLE)

IP: Final = FieldName("ip")
DEVICE_ID: Final = FieldName("device_id")
PERSONAL_FIELDS: Final = (IP, DEVICE_ID)
FIELDS: Final = (*PERSONAL_FIELDS, QUARANTINE)
"""The fields of data keys."""


def login_place(field: FieldName, record_id: uuid.UUID, user_id: str) -> ValuePlace:
    """The place of a personal value of a login."""
    return ValuePlace(USER_LOGINS, field, field, record_id, user_id)
