"""Spans of OpenTelemetry, sent over OTLP/HTTP. Attributes are numbers, ids and words of this program, never a value.

The variables OTEL_… say where spans go. They are sent by a thread of their own. If the receiver is slow or away, spans
are dropped, and no work waits. Requires the extra `traces`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, StatusCode
from typing_extensions import override

from vault_etl import __version__
from vault_etl.base import logs
from vault_etl.base.errors import VaultEtlError

END_SECONDS: Final = 1.0
"""Seconds that the end of a command waits for its last spans to be sent. The exporter itself would wait for 30."""

Attributes = Mapping[str, int | str]


class TracedWork:
    """A span of work that is under way."""

    def __init__(self, span: Span) -> None:
        self._span = span

    def set(self, attributes: Attributes) -> None:
        """Add attributes, as `vault_etl.NAME`."""
        self._span.set_attributes({f"vault_etl.{name}": one for name, one in attributes.items()})

    def failed(self, error: BaseException) -> None:
        """Mark the work as failed, with the class of the error. Its text and traceback may quote a value."""
        word = error.named if isinstance(error, VaultEtlError) else type(error).__name__
        self._span.set_attribute("error.type", word)
        self._span.set_status(StatusCode.ERROR)


class Traces:
    """Makes spans, and sends them as the variables OTEL_… of this process say. Raises ValueError for wrong ones."""

    def __init__(self) -> None:
        # Only these attributes: the detectors that Resource.create() may run can send the command line of the process.
        of_process = Resource(
            {
                "service.name": "vault-etl",
                "service.version": __version__,
                "process.pid": os.getpid(),
            }
        )
        resource = of_process.merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_LoggedExporter(OTLPSpanExporter())))
        self._tracer = self._provider.get_tracer("vault-etl", __version__)

    @contextlib.contextmanager
    def span(self, name: str, attributes: Attributes) -> Iterator[TracedWork]:
        """Run the block in a span of its own trace. An error of the block marks it as failed, and propagates."""
        span = self._tracer.start_span(name, Context(), record_exception=False)
        work = TracedWork(span)
        work.set(attributes)
        try:
            yield work
        except BaseException as error:
            work.failed(error)
            raise
        finally:
            span.end()

    def close(self) -> None:
        """Send the last spans. Spans that cannot be sent within `END_SECONDS` are lost."""
        sending = threading.Thread(target=self._provider.shutdown, name="traces", daemon=True)
        sending.start()
        sending.join(END_SECONDS)


class _LoggedExporter(SpanExporter):
    """Logs when spans can no longer be sent, and when they can again."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self._is_failing = False

    @override
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        is_failing = result is not SpanExportResult.SUCCESS
        if is_failing and not self._is_failing:
            logs.get_logger().warning("traces are not sent", spans=len(spans))
        elif self._is_failing and not is_failing:
            logs.get_logger().info("traces are sent again")
        self._is_failing = is_failing
        return result

    @override
    def shutdown(self) -> None:
        self._exporter.shutdown()
