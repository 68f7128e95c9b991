"""A loopback HTTP/1.1 server that keeps its connections, and answers from a list; with TLS, if it has a certificate."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterable
from typing import BinaryIO, Final, Self

HOST: Final = "127.0.0.1"


class Closing(bytes):
    """An answer after which the server closes the connection; empty: no answer at all."""

    __slots__ = ()


def ok(body: bytes = b"{}") -> bytes:
    """An answer that keeps the connection."""
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


class ScriptedServer:
    """`requests` has the requests so far, head and body; `connections` counts those accepted.

    After its last answer the server keeps its connections, and answers no more.
    """

    def __init__(self, answers: Iterable[bytes], tls: ssl.SSLContext | None = None) -> None:
        self._answers = iter(answers)
        self._tls = tls
        self._listener = socket.create_server((HOST, 0))
        self._ends: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]
        self.port: int = self._listener.getsockname()[1]
        self.requests: list[bytes] = []
        self.connections = 0
        self.closed = threading.Event()
        """Set when the server has closed a connection."""

    @property
    def url(self) -> str:
        """The address of the server."""
        return f"{'https' if self._tls else 'http'}://localhost:{self.port}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._threads[0].join()
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                self.connections += 1
                self._ends.append(end)
                thread = threading.Thread(target=self._serve, args=(end,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, end: socket.socket) -> None:
        with contextlib.suppress(OSError), end:
            if self._tls is None:
                self._talk(end)
                return
            with self._tls.wrap_socket(end, server_side=True) as wrapped:
                self._ends.append(wrapped)
                self._talk(wrapped)

    def _talk(self, end: socket.socket) -> None:
        with end.makefile("rb") as stream:
            while request := _request(stream):
                self.requests.append(request)
                answer = next(self._answers, b"")
                end.sendall(answer)
                if isinstance(answer, Closing):
                    end.shutdown(socket.SHUT_RDWR)
                    self.closed.set()
                    return


def _request(stream: BinaryIO) -> bytes:
    """Read a request; empty at the end of the connection."""
    head = b""
    length = 0
    while line := stream.readline():
        head += line
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
        if line == b"\r\n":
            return head + stream.read(length)
    return b""
