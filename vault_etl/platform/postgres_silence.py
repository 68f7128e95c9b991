"""A bound on a server's silence: libpq waits for an answer for ever, and takes no time-out.

TCP's own bounds find a peer that is gone. They do not find a server that is frozen, or a proxy that
takes everything and passes nothing on: there the bytes are acknowledged. psycopg2's wait callback
would be the other way, but with it there is no COPY. So the socket is shut down from a thread, upon
which libpq, wherever it waits, finds the connection lost.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self

import psycopg2.extensions


class Silence:
    """Ends a connection that is watched for longer than `seconds` (None: never)."""

    def __init__(self, seconds: float | None) -> None:
        self.was_too_long = False
        self._seconds = seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def watch(self, connection: psycopg2.extensions.connection) -> None:
        """From now until the end of the block."""
        if self._seconds is None:
            return
        # A descriptor of our own: libpq's may be closed, and its number another socket's, by then.
        self._socket = socket.socket(fileno=os.dup(connection.fileno()))
        self._timer = threading.Timer(self._seconds, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def _cut(self) -> None:
        with self._lock:
            if self._socket is not None:
                self.was_too_long = True
                with suppress(OSError):  # it is lost already
                    self._socket.shutdown(socket.SHUT_RDWR)
