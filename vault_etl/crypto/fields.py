"""What is sealed, and where it stands: the constants that associated data and contexts are made of."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Field(StrEnum):
    """What a key is for. `quarantine` is the body of a message that cannot be a record."""

    IP = "ip"
    DEVICE_ID = "device_id"
    QUARANTINE = "quarantine"


class FileField(StrEnum):
    """What a source key is for, in the place of a field: nothing is sealed under it."""

    SOURCE = "source"


KeyField = Field | FileField
"""What the row of any key names."""

PERSONAL_FIELDS: Final = (Field.IP, Field.DEVICE_ID)
"""The fields of a record that get a token and a ciphertext."""


class Table(StrEnum):
    """The tables that hold ciphertexts. Names of the format, whatever SQL calls them."""

    USER_LOGINS = "user_logins"
    QUARANTINE = "quarantine"


class KeyPurpose(StrEnum):
    """What a wrapped key does: `data` keys seal, `token` keys make tokens, the `source` key knows files."""

    DATA = "data"
    TOKEN = "token"  # noqa: S105 - a purpose, not a password
    SOURCE = "source"

    @property
    def kms_key(self) -> KeyPurpose:
        """Whose KMS key wraps these keys: that of the token keys wraps the source key, too."""
        return KeyPurpose.TOKEN if self is KeyPurpose.SOURCE else self


ROTATED: Final = (KeyPurpose.DATA, KeyPurpose.TOKEN)
"""The purposes whose keys are rotated, and must not grow too old."""
