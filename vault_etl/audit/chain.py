"""The hash chain of the audit log, as any reader can compute it (docs/formats.md, Audit hash)."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Sequence
from typing import Final, NamedTuple

from vault_etl.crypto.digest import sha256

_GENESIS: Final = b"vault-etl/1/audit-genesis"
_ENTRY: Final = b"vault-etl/1/audit"

_pack_numbers: Final = struct.Struct(">qq").pack
_pack_length: Final = struct.Struct(">BI").pack
_pack_count: Final = struct.Struct(">H").pack


class LoggedEntry(NamedTuple):
    """An entry as it stands in the log, which may be anything: somebody may have changed it.

    A tuple, since a log has a million of them. Everything behind `microseconds` (since 1970 UTC;
    None for what is no time) and before `hash` is hashed in this order.
    """

    seq: int
    microseconds: int | None
    request_id: str | None
    phase: str | None
    login: str | None
    client_address: str | None
    actor: str | None
    host: str | None
    action: str | None
    record_id: str | None
    fields: Sequence[str | None] | None
    purpose: str | None
    ticket: str | None
    reason: str | None
    decision: str | None
    error_code: str | None
    prev_hash: bytes | None
    hash: bytes | None

    def computed_hash(self) -> bytes | None:
        """The hash that the columns have; None if they are none of an entry."""
        if self.microseconds is None or self.fields is None:
            return None
        try:
            parts = [_ENTRY, _pack_numbers(self.seq, self.microseconds)]
            parts += [_encoded(value) for value in self[2:10]]
            parts.append(_pack_count(len(self.fields)))
            parts += [_encoded(element) for element in sorted(self.fields)]  # type: ignore[type-var]
            parts += [_encoded(value) for value in self[11:17]]
        except (TypeError, struct.error):
            return None
        return sha256(b"".join(parts))


def genesis(vault_id: uuid.UUID) -> bytes:
    """The `prev_hash` of entry 1, and the hash of the head of an empty log."""
    return sha256(_GENESIS, vault_id.bytes)


def _encoded(value: object) -> bytes:
    if value is None:
        return b"\0"
    content = value.encode() if isinstance(value, str) else value
    if not isinstance(content, bytes):
        message = "an entry has text and bytes alone"
        raise TypeError(message)
    return _pack_length(1, len(content)) + content
