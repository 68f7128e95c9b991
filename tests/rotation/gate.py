"""A proxy before Postgres that holds back the statement that takes the fence, after tokens were made."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from tests.kit.tcp_proxy import CHUNK, TcpProxy, _Line
from vault_etl.platform.resources import blocks

FENCE = blocks("records/records.sql")["lock_fence"].encode()


class Gate(TcpProxy):
    """Open until it is shut. `held` counts the transactions that have waited before the gate."""

    def __init__(self, upstream_port: int) -> None:
        super().__init__(upstream_port)
        self.held = 0
        self._way = asyncio.Event()
        self._way.set()

    def shut(self) -> None:
        """From now on no transaction takes the fence."""
        self._loop.call_soon_threadsafe(self._way.clear)

    def open(self) -> None:
        """Waiting transactions continue."""
        self._loop.call_soon_threadsafe(self._way.set)

    async def _pump(
        self, line: _Line, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        del line
        with suppress(OSError):
            while chunk := await reader.read(CHUNK):
                if FENCE in chunk and not self._way.is_set():
                    self.held += 1
                    await self._way.wait()
                writer.write(chunk)
                await writer.drain()
