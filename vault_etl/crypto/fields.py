"""Fields, tables and purposes of keys: the constants in associated data and in encryption contexts."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Field(StrEnum):
    """The field that a key is for. `quarantine` is the body of a message that cannot be a record."""

    IP = "ip"
    DEVICE_ID = "device_id"
    QUARANTINE = "quarantine"


class FileField(StrEnum):
    """The purpose of a source key, in the place of a field. A source key seals nothing."""

    SOURCE = "source"


KeyField = Field | FileField
"""The field in the row of a key."""

PERSONAL_FIELDS: Final = (Field.IP, Field.DEVICE_ID)
"""The fields of a record that get a token and a ciphertext."""


class Table(StrEnum):
    """The tables with ciphertexts. These are names in the format, independent of the names in SQL."""

    USER_LOGINS = "user_logins"
    QUARANTINE = "quarantine"


class KeyPurpose(StrEnum):
    """The purpose of a wrapped key: `data` keys seal, `token` keys make tokens, the `source` key recognises files."""

    DATA = "data"
    TOKEN = "token"  # noqa: S105 - a purpose, not a password
    SOURCE = "source"

    @property
    def kms_key(self) -> KeyPurpose:
        """The purpose whose KMS key wraps these keys: the KMS key of the token keys wraps the source key too."""
        return KeyPurpose.TOKEN if self is KeyPurpose.SOURCE else self


ROTATED: Final = (KeyPurpose.DATA, KeyPurpose.TOKEN)
"""The purposes whose keys are rotated, and have a limit of age."""
