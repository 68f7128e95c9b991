"""The writer of batches, as an ingest sees it: `BatchWriter`, or one that makes a span of each batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from vault_etl.crypto.fields import FieldName
from vault_etl.records.messages import Message
from vault_etl.records.written import Written


class Writer(Protocol):
    """Writes batches into the database."""

    def write(self, messages: Sequence[Message]) -> Written:
        """Store or quarantine every message, as `BatchWriter.write` does."""

    def probe(self) -> None:
        """Test the connection without a write. Raises what `write` raises if no batch can be stored."""

    @property
    def seals_left(self) -> Mapping[FieldName, int]:
        """The number of values that may still be sealed under the data keys in use."""
