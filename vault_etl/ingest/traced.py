"""A span for each batch: its messages by outcome, and the reasons of those that were quarantined."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from typing_extensions import override

from vault_etl.crypto.fields import FieldName
from vault_etl.ingest.writer import Writer
from vault_etl.records.messages import Message
from vault_etl.records.written import Written

if TYPE_CHECKING:
    from vault_etl.platform.traces import Traces


class TracedWriter(Writer):
    """Writes batches with another writer, each in a span."""

    def __init__(self, writer: Writer, traces: Traces) -> None:
        self._writer = writer
        self._traces = traces

    @override
    def write(self, messages: Sequence[Message]) -> Written:
        with self._traces.span("ingest batch", {"messages": len(messages)}) as work:
            written = self._writer.write(messages)
            work.set(Counter(outcome.value for outcome in written.outcomes))
            work.set({f"reason_{reason}": count for reason, count in written.reasons.items()})
            if written.cause is not None:
                work.failed(written.cause)
        return written

    @override
    def probe(self) -> None:
        self._writer.probe()

    @property
    @override
    def seals_left(self) -> Mapping[FieldName, int]:
        return self._writer.seals_left
