"""The kind of each personal field of a login event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vault_etl.crypto.fields import DEVICE_ID, IP, FieldName
from vault_etl.kinds.kind import Kind
from vault_etl.kinds.make import make_kind

KINDS: Final[Mapping[FieldName, Kind]] = {
    IP: make_kind("ip", {}),
    DEVICE_ID: make_kind("text", {"max": 256}),
}
