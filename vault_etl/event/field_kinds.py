"""The kind of each personal field of a login event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vault_etl.crypto.fields import Field
from vault_etl.kinds.kind import Kind
from vault_etl.kinds.make import make_kind

KINDS: Final[Mapping[Field, Kind]] = {
    Field.IP: make_kind("ip", {}),
    Field.DEVICE_ID: make_kind("text", {"max": 256}),
}
