"""`/metrics`, `/healthz` and `/readyz` over HTTP, beside an ingest that never waits for them.

A client has `HEAD_SECONDS` in all to send its request, and `ANSWER_SECONDS` to read the answer. If
`MAX_CONNECTIONS` are open, a new connection replaces the oldest: slow or many clients delay no
probe, and cost a few threads at most.
"""

from __future__ import annotations

import contextlib
import http.server
import io
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Collection
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

from vault_etl.crypto.fields import EventName
from vault_etl.ingest.metrics.listen_address import ListenAddress
from vault_etl.ingest.metrics.prometheus import PrometheusMetrics
from vault_etl.ingest.metrics.workers import WorkerMetrics

HEAD_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 5.0
MAX_HEAD_BYTES: Final = 8 * 1024
MAX_CONNECTIONS: Final = 16
_ROOM_SECONDS: Final = 0.5

Exposition = Callable[[str], tuple[bytes, str]]
"""Returns a body and its content type for a header Accept."""

Probe = Callable[[], str | None]
"""Returns the reason for a failure, in a word or two; None if all is well."""

_WORDS: Final = re.compile(r"\w[\w: -]{0,59}", re.ASCII)
_TEXT: Final = "text/plain; charset=utf-8"


class MetricsServer:
    """Listens and answers from its construction until `close`.

    Raises ConfigurationError if the address is malformed, in use, or not an address of this machine.
    """

    def __init__(
        self, address: str, *, exposition: Exposition, ready: Probe, healthy: Probe
    ) -> None:
        listen = ListenAddress.parse(address)
        try:
            self._server = _ProbeServer(listen, _Site(exposition, ready, healthy))
        except OSError as error:
            raise listen.refused(error) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """HOST:PORT; for port 0 the port that the system has chosen."""
        host, port = self._server.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Stop listening, and end the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Site:
    """The answers: status, content type and body."""

    def __init__(self, exposition: Exposition, ready: Probe, healthy: Probe) -> None:
        self._exposition = exposition
        self._probes = {"/healthz": healthy, "/readyz": ready}
        self._one_at_a_time = threading.Lock()

    def answer(self, path: str, accept: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/metrics":
            return self._metrics(accept)
        probe = self._probes.get(path)
        if probe is None:
            return HTTPStatus.NOT_FOUND, _TEXT, b"not found\n"
        reason = probe()
        if reason is None:
            return HTTPStatus.OK, _TEXT, b"ok\n"
        words = reason if _WORDS.fullmatch(reason) else "unknown"
        return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{words}\n".encode()

    def _metrics(self, accept: str) -> tuple[HTTPStatus, str, bytes]:
        if not self._one_at_a_time.acquire(timeout=ANSWER_SECONDS):
            return HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, b"busy\n"
        try:
            body, content_type = self._exposition(accept)
        finally:
            self._one_at_a_time.release()
        return HTTPStatus.OK, content_type, body


class _ProbeServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    # Not http.server.HTTPServer: that class looks up its own host name at the start, and may block.
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, listen: ListenAddress, site: _Site) -> None:
        self.site = site
        self._open: dict[socket.socket, None] = {}  # in the order in which they came
        self._lock = threading.Lock()
        self._room = threading.BoundedSemaphore(2 * MAX_CONNECTIONS)
        self.address_family, resolved = listen.resolve()
        super().__init__(resolved, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        try:
            return super().get_request()
        except OSError:
            time.sleep(0.1)  # out of file descriptors: let the connection wait
            raise

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                self._interrupt(next(iter(self._open)))
            self._open[request] = None
        # The thread of an interrupted connection ends in a moment.
        if not self._room.acquire(timeout=_ROOM_SECONDS):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # no thread could be started
            self._room.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def shutdown_request(self, request: Any) -> None:  # noqa: ANN401
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Ignore a client that went away, or was too slow."""

    def _interrupt(self, connection: socket.socket) -> None:
        del self._open[connection]
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    """Handles one request per connection."""

    server: _ProbeServer
    error_message_format = "%(code)d\n"
    error_content_type = _TEXT

    def handle(self) -> None:
        self.rfile = io.BufferedReader(io.BytesIO(_read_head(self.connection)))
        self.connection.settimeout(ANSWER_SECONDS)
        self.raw_requestline = self.rfile.readline()
        if self.raw_requestline and self.parse_request():
            self._answer()

    def _answer(self) -> None:
        allowed = self.command in {"GET", "HEAD"}
        if allowed:
            try:
                path = self.path.partition("?")[0]
                answer = self.server.site.answer(path, self.headers.get("Accept", ""))
            except Exception:  # noqa: BLE001 - the text of the error might quote a value
                answer = HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, b"error\n"
        else:
            answer = HTTPStatus.METHOD_NOT_ALLOWED, _TEXT, b"method not allowed\n"
        status, content_type, body = answer
        self.send_response(status)
        if not allowed:
            self.send_header("Allow", "GET, HEAD")
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def send_error(
        self, code: int, _message: str | None = None, _explain: str | None = None
    ) -> None:
        super().send_error(code)  # the message would quote the request

    def version_string(self) -> str:
        return "vault-etl"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the parent names it
        """Log no request."""


def _read_head(connection: socket.socket) -> bytes:
    """Return a request up to its empty line; nothing if the request is late or too long."""
    deadline = time.monotonic() + HEAD_SECONDS
    head = b""
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        left = deadline - time.monotonic()
        if left <= 0 or len(head) > MAX_HEAD_BYTES:
            return b""
        connection.settimeout(left)
        received = connection.recv(4096)
        if not received:
            return b""
        head += received
    return head


class ServedMetrics:
    """Metrics and their server: of one process, or of a parent and its workers. A context manager.

    Answers from its construction until its exit. Raises ConfigurationError if the server cannot
    listen on the address.
    """

    def __init__(
        self,
        address: str,
        ready: Probe,
        healthy: Probe,
        workers: int,
        events: Collection[EventName],
    ) -> None:
        self.observer = PrometheusMetrics(events) if workers == 1 else None
        """The metrics of a process that runs the ingest itself."""
        self.workers = WorkerMetrics() if workers > 1 else None
        """The metrics of a parent with workers."""
        exposition = (self.observer or self.workers or PrometheusMetrics(events)).exposition
        self._server = MetricsServer(address, exposition=exposition, ready=ready, healthy=healthy)
        self.address = self._server.address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        if self.workers is not None:
            self.workers.close()
