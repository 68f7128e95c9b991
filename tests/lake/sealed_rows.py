"""Rows of the wider event, parsed and sealed under fixed keys."""

from __future__ import annotations

import uuid
from typing import Any, Final

from tests.kit.declarations import WIDER
from tests.vectors.rows import FixedKeys
from vault_etl.crypto.record_id import record_id_of_line
from vault_etl.crypto.sealing import Sealer
from vault_etl.declaration.model import Declaration
from vault_etl.event.events import EventParser
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.lake.parquet_batches import (
    BatchSealer,
)

KEYS: Final = FixedKeys()
SET: Final = uuid.UUID("9b2f0c31-5d0e-4b5f-8f2f-0a4a53d3d9a1")
SENT_MS: Final = 1_767_225_600_123

BODIES: Final = (
    b"""{"user_id":"u-1","device_type":"ios","ip":"198.51.100.7","device_id":"Phone-1",
    "home":{"ip":"203.0.113.9"},"email":"ann@example.com","create_date":"2026-01-02T03:04:05Z"}""",
    b'{"user_id":"u-2","device_type":"ios","ip":"198.51.100.7","device_id":"unknown"}',
    b'{"user_id":"u-1","device_type":"web","ip":"2001:db8::1","device_id":"Phone-2"}',
)
EVENT: Final = WIDER.events[0]


def parsed(declaration: Declaration, bodies: list[bytes]) -> list[tuple[uuid.UUID, ParsedEvent]]:
    """The events of these bodies, as the records of a set."""
    parser, rows = EventParser(declaration), []
    for number, body in enumerate(bodies, start=1):
        event = parser.parse(body)
        assert isinstance(event, ParsedEvent), event
        rows.append((record_id_of_line(SET, number, SENT_MS), event))
    return rows


def sealed_batch() -> Any:  # noqa: ANN401 - of pyarrow
    """Three rows of the wider event under fixed keys."""
    sealer = Sealer(KEYS.data_keys(WIDER))
    return BatchSealer(EVENT, sealer, KEYS.tokenizer(WIDER, 1)).seal(parsed(WIDER, list(BODIES)))
