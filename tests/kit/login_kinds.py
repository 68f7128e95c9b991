"""The kind of each personal field of a login event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vault_etl.crypto.fields import FieldName
from vault_etl.kinds.kind import Kind
from vault_etl.kinds.make import make_kind

KINDS: Final[Mapping[FieldName, Kind]] = {
    FieldName("ip"): make_kind("ip", {}),
    FieldName("device_id"): make_kind("text", {"max": 256}),
}
