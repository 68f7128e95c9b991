"""The fields that can be recovered, as a choice on the command line."""

from __future__ import annotations

from enum import StrEnum


class PersonalField(StrEnum):
    """The fields that can be recovered."""

    IP = "ip"
    DEVICE_ID = "device_id"
