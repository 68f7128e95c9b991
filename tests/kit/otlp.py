"""A receiver of OTLP over HTTP, as a collector of traces is one. It decodes spans, and can be slow."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.kit.loopback_server import LoopbackServer


@dataclass(frozen=True, slots=True)
class ReceivedSpan:
    """A span as it was received. `seconds` is its length."""

    name: str
    attributes: dict[str, int | str]
    resource: dict[str, int | str]
    failed: bool
    seconds: float


@dataclass(slots=True)
class Collector:
    """The spans of all requests. While `lets_go` is not set, no request is answered; then all get `status`."""

    url: str = ""
    spans: list[ReceivedSpan] = field(default_factory=list)
    asked: int = 0
    """The number of requests, also of those that have no answer yet."""
    raw: bytes = b""
    """The bodies and the headers of all requests."""
    lets_go: threading.Event = field(default_factory=threading.Event)
    status: int = 200

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which a command sends its spans here."""
        return {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": self.url}

    def named(self, name: str) -> list[ReceivedSpan]:
        """The spans of this name, in the order of their arrival."""
        return [span for span in self.spans if span.name == name]


@contextmanager
def collector() -> Iterator[Collector]:
    """Receive spans until the end of the block."""
    received = Collector()
    received.lets_go.set()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.asked += 1
            received.lets_go.wait(60)
            received.raw += str(self.headers).encode() + body
            if self.path == "/v1/traces":
                received.spans += _spans(body)
            self.send_response(received.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with LoopbackServer(Receiver) as server:
        received.url = server.url
        try:
            yield received
        finally:
            received.lets_go.set()


def _spans(body: bytes) -> Iterator[ReceivedSpan]:
    for of_process in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in of_process.scope_spans:
            for span in scope.spans:
                assert not span.events  # an exception as an event has its text and its traceback
                assert not span.status.message
                yield ReceivedSpan(
                    span.name,
                    _plain(span.attributes),
                    _plain(of_process.resource.attributes),
                    span.status.code == Status.STATUS_CODE_ERROR,
                    (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                )


def _plain(attributes: Any) -> dict[str, int | str]:  # noqa: ANN401 - a repeated field of protobuf
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in attributes}
