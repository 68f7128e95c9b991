"""`/metrics`, `/healthz` and `/readyz` over HTTP, beside an ingest that never waits for them.

A request has `HEAD_SECONDS` to arrive and its answer `ANSWER_SECONDS` to be taken, in all. When
`MAX_CONNECTIONS` are open, the oldest gives way to the new one: whoever is slow, or many, keeps no
probe waiting, and costs a few threads at most.
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
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

from vault_etl.ingest.metrics.prometheus import PrometheusMetrics
from vault_etl.ingest.metrics.workers import WorkerMetrics
from vault_etl.platform.listen_address import ListenAddress

HEAD_SECONDS: Final = 3.0
ANSWER_SECONDS: Final = 5.0
MAX_HEAD_BYTES: Final = 8 * 1024
MAX_CONNECTIONS: Final = 16

Exposition = Callable[[str], tuple[bytes, str]]
"""From the header Accept to a body and its content type."""

Check = Callable[[], str | None]
"""Why not, in a word or two; None if all is well."""

_WORDS: Final = re.compile(r"\w[\w: -]{0,59}", re.ASCII)
_TEXT: Final = "text/plain; charset=utf-8"


class MetricsServer:
    """Listens from the moment that it is made, and answers until it is closed.

    Raises ConfigurationError if the address is malformed, in use, or not one of this machine.
    """

    def __init__(
        self, address: str, *, exposition: Exposition, ready: Check, healthy: Check
    ) -> None:
        listen = ListenAddress.parse(address)
        try:
            self._server = _Server(listen, _Site(exposition, ready, healthy))
        except OSError as error:
            raise listen.refused(error) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    @property
    def address(self) -> str:
        """HOST:PORT as it is: the system has chosen the port where 0 was asked for."""
        host, port = self._server.socket.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def close(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Site:
    """What is answered: status, content type and body."""

    def __init__(self, exposition: Exposition, ready: Check, healthy: Check) -> None:
        self._exposition = exposition
        self._checks = {"/healthz": healthy, "/readyz": ready}
        self._one_at_a_time = threading.Lock()

    def answer(self, path: str, accept: str) -> tuple[HTTPStatus, str, bytes]:
        if path == "/metrics":
            return self._metrics(accept)
        check = self._checks.get(path)
        if check is None:
            return HTTPStatus.NOT_FOUND, _TEXT, b"not found\n"
        reason = check()
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


class _Server(socketserver.ThreadingMixIn, socketserver.TCPServer):
    # Not http.server.HTTPServer, which looks up its own name at the start, and may wait for that.
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
            time.sleep(0.1)  # out of file descriptors: the connection waits, and so do we
            raise

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        with self._lock:
            if len(self._open) >= MAX_CONNECTIONS:
                self._interrupt(next(iter(self._open)))
            self._open[request] = None
        if not self._room.acquire(blocking=False):
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
        """A client that went away, or was too slow: nothing to tell."""

    def _interrupt(self, connection: socket.socket) -> None:
        del self._open[connection]
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


class _Handler(http.server.BaseHTTPRequestHandler):
    """One request a connection."""

    server: _Server
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
            except Exception:  # noqa: BLE001 - the error's text might quote a value
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
        """Who asks what is not logged."""


def _read_head(connection: socket.socket) -> bytes:
    """A request up to its empty line; nothing if that does not come in time, or is too long."""
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
    """Answers from the moment that it is made until it is left.

    Raises ConfigurationError if the address cannot be listened on.
    """

    def __init__(self, address: str, ready: Check, healthy: Check, workers: int) -> None:
        self.observer = PrometheusMetrics() if workers == 1 else None
        """What a process that does the work itself tells."""
        self.workers = WorkerMetrics() if workers > 1 else None
        """What a parent gives to its workers."""
        exposition = (self.observer or self.workers or PrometheusMetrics()).exposition
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
