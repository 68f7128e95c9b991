"""A proxy that speaks CONNECT, and tells who asked for which host."""

from __future__ import annotations

import contextlib
import select
import socket
from http.server import BaseHTTPRequestHandler

from typing_extensions import override

from tests.kit.loopback_server import LoopbackServer


class ConnectProxy(LoopbackServer):
    """Passes tunnels on, or refuses them with `refusal`. `tunnels` has the host and the authorization of each."""

    def __init__(self, refusal: int | None = None) -> None:
        self.tunnels: list[tuple[str, str | None]] = []
        self._ends: list[socket.socket] = []
        super().__init__(_handler(refusal, self.tunnels, self._ends))

    @override
    def __exit__(self, *error: object) -> None:
        for end in self._ends:  # a client may keep its tunnel
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        super().__exit__(*error)


def _handler(
    refusal: int | None, tunnels: list[tuple[str, str | None]], ends: list[socket.socket]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        """One tunnel."""

        def do_CONNECT(self) -> None:
            """Connect, and pass bytes on both ways until one end closes."""
            tunnels.append((self.path, self.headers.get("Proxy-Authorization")))
            if refusal is not None:
                self.send_response_only(refusal)
                self.end_headers()
                return
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port))) as upstream:
                ends.append(upstream)
                self.send_response_only(200)
                self.end_headers()
                _pump(self.connection, upstream)
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _pump(one: socket.socket, other: socket.socket) -> None:
    ends = {one: other, other: one}
    while True:
        for end in select.select(list(ends), [], [])[0]:
            content = end.recv(65_536)
            if not content:
                return
            ends[end].sendall(content)
