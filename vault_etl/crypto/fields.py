"""Names of fields and tables, and purposes of keys: the words in associated data and encryption contexts."""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NewType

FieldName = NewType("FieldName", str)
"""The name of a declared field. It is bound into tokens, encryption contexts and the rows of keys."""

EventName = NewType("EventName", str)
"""The name of a declared event: its table, which is bound into associated data."""

QUARANTINE: Final = FieldName("quarantine")
"""The field of the body of a message that cannot be a record. No declared field has this name."""

SOURCE: Final = FieldName("source")
"""The name in the place of a field for a source key, which seals nothing. No declared field has this name."""

QUARANTINE_TABLE: Final = EventName("quarantine")
"""The table of quarantined bodies, in the place of an event. No declared event has this name."""


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
