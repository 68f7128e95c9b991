"""Fields and tables of the default declaration, which most suites run on."""

from __future__ import annotations

from typing import Final

from vault_etl.crypto.fields import QUARANTINE, QUARANTINE_TABLE, EventName, FieldName

USER_LOGINS: Final = EventName("user_logins")
TABLES: Final = (USER_LOGINS, QUARANTINE_TABLE)

IP: Final = FieldName("ip")
DEVICE_ID: Final = FieldName("device_id")
PERSONAL_FIELDS: Final = (IP, DEVICE_ID)
FIELDS: Final = (*PERSONAL_FIELDS, QUARANTINE)
"""The fields of data keys."""
