"""UUIDs that are made for each event."""

from __future__ import annotations

import uuid
from typing import Final

_SET: Final = object.__setattr__
_UNKNOWN: Final = uuid.SafeUUID.unknown


def uuid_of(number: int) -> uuid.UUID:
    """Return `uuid.UUID(int=number)` without its checks, which take half of its time. The number has 128 bits."""
    made = uuid.UUID.__new__(uuid.UUID)
    _SET(made, "int", number)
    _SET(made, "is_safe", _UNKNOWN)
    return made
