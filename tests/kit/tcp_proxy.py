"""A loopback TCP proxy whose line can be made slow, cut, or silent while it is in use."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, Self, TypeVar

HOST: Final = "127.0.0.1"
CHUNK: Final = 65_536
"""Bytes that are read at once, at most."""
SWITCH_SECONDS: Final = 10
"""How long it may take until a switch is in force."""
RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 seconds: closing sends RST."""

_T = TypeVar("_T")


class Fault(StrEnum):
    """A fault that the line makes instead of passing bytes on."""

    DELAY = "delay"
    """Every chunk, either way, waits."""
    RESET = "reset"
    """Connections are reset, those that there are at once, new ones as they come."""
    BLACKHOLE = "blackhole"
    """Connections are taken, bytes and ends of the server swallowed, and nothing answers.

    A connection that lost something stays silent when the fault is over. When its client goes,
    that is passed on, so that a database does not keep the client's locks for ever.
    """


@dataclass(slots=True, eq=False)
class _Line:
    """A connection: the client's end, and then the server's."""

    ends: list[asyncio.StreamWriter] = field(default_factory=list)
    silent: bool = False
    hit_by: int = 0
    """The number of the fault that hit it last."""


class TcpProxy:
    """Passes connections on to a port of this machine. Faults are set and mended from any thread.

    `connections` counts those taken. `hits` counts those that a fault hit, each once for every time
    that it was set: a chunk waited, something was swallowed (making the connection counts), or it
    was reset. A fault while nothing is connected, or nothing is said, hits nothing.
    """

    def __init__(self, upstream_port: int) -> None:
        self._upstream = upstream_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._lines: dict[_Line, asyncio.Task[None]] = {}
        self._fault: Fault | None = None
        self._fault_number = 0
        self._seconds = 0.0
        self.port = 0
        self.connections = 0
        self.hits: Counter[Fault] = Counter()

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = self._run(asyncio.start_server(self._take, HOST, 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @contextmanager
    def broken(self, fault: Fault, milliseconds: float = 0) -> Iterator[None]:
        """The line has this fault while the block runs; `milliseconds` is what a chunk waits."""
        self._run(self._switch(fault, milliseconds / 1000))
        try:
            yield
        finally:
            self._run(self._switch(None, 0))

    @property
    def live(self) -> int:
        """Count the connections that there are."""
        return len(self._lines)

    def _run(self, what: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(SWITCH_SECONDS)

    async def _switch(self, fault: Fault | None, seconds: float) -> None:
        self._fault, self._seconds = fault, seconds
        self._fault_number += 1
        if fault is Fault.RESET:
            for line in self._lines:
                if not line.ends[0].is_closing():
                    self._reset(line)

    async def _close(self) -> None:
        self._server.close()
        tasks = list(self._lines.values())
        for line in self._lines:
            _abort(line)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()
        await asyncio.sleep(0)  # what was aborted is closed at the loop's next turn

    async def _take(self, reader: asyncio.StreamReader, client: asyncio.StreamWriter) -> None:
        self.connections += 1
        line = _Line([client])
        task = asyncio.current_task()
        assert task is not None
        self._lines[line] = task
        try:
            with suppress(asyncio.CancelledError, OSError):
                await self._connect(line, reader, client)
        finally:
            del self._lines[line]

    async def _connect(
        self, line: _Line, reader: asyncio.StreamReader, client: asyncio.StreamWriter
    ) -> None:
        if self._has(Fault.BLACKHOLE):
            self._silence(line)
            await self._pump(line, reader, client)
            _abort(line)
            return
        try:
            answers, server = await asyncio.open_connection(HOST, self._upstream)
        except OSError:
            _abort(line)  # the server is away: so would a client be told that asked it directly
            raise
        line.ends.append(server)
        if self._has(Fault.RESET) or client.is_closing():
            self._reset(line)
        up = asyncio.create_task(self._pump(line, reader, server))
        down = asyncio.create_task(self._pump(line, answers, client))
        try:
            await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
            if not up.done() and (line.silent or self._has(Fault.BLACKHOLE)):
                self._silence(line)  # the server's end is swallowed too
                await up
        finally:
            up.cancel()
            down.cancel()
            await asyncio.gather(up, down, return_exceptions=True)
            for end in line.ends:
                end.close()
        for end in line.ends:
            await end.wait_closed()

    async def _pump(
        self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Until the reader's end, or an error, which is one."""
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if self._has(Fault.DELAY) and not line.silent:
                    self._hit(line)
                    await asyncio.sleep(self._seconds)
                if self._has(Fault.BLACKHOLE):
                    self._silence(line)
                if not line.silent:
                    writer.write(chunk)
                    await writer.drain()

    def _has(self, fault: Fault) -> bool:
        return self._fault is fault

    def _silence(self, line: _Line) -> None:
        if not line.silent:
            line.silent = True
            self._hit(line)

    def _reset(self, line: _Line) -> None:
        self._hit(line)
        _abort(line)

    def _hit(self, line: _Line) -> None:
        assert self._fault is not None
        if line.hit_by != self._fault_number:
            line.hit_by = self._fault_number
            self.hits[self._fault] += 1


def _abort(line: _Line) -> None:
    for end in line.ends:
        with suppress(OSError):  # it may be closed
            ours = end.get_extra_info("socket")
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        end.transport.abort()
