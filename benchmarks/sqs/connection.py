"""One HTTP/1.1 connection: requests are read from raw bytes, and each answer is sent after a delay."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections import deque
from email.utils import formatdate
from typing import Final

from typing_extensions import override

from benchmarks.sqs.actions import Actions

_REASONS: Final = {200: b"OK", 400: b"Bad Request"}
_TARGET: Final = b"x-amz-target: amazonsqs."
_LENGTH: Final = b"content-length: "
_END: Final = b"\r\n\r\n"


class Waiting:
    """Receivers that wait for a message, the longest waiting first."""

    def __init__(self) -> None:
        self._receivers: deque[Connection] = deque()

    def add(self, connection: Connection) -> None:
        """Let a connection wait."""
        self._receivers.append(connection)

    def remove(self, connection: Connection) -> None:
        """Let a connection wait no longer."""
        self._receivers.remove(connection)

    def wake(self, actions: Actions) -> None:
        """Answer receivers while there are messages, or because no more will come."""
        while self._receivers and (not actions.is_empty or actions.is_over):
            self._receivers[0].end_wait()


class Turns:
    """The turns of a queue that does `capacity` requests a second, one after the other, whether or not clients wait."""

    def __init__(self, capacity: float) -> None:
        self._seconds = 1 / capacity
        self._free_at = 0.0

    def next(self, now: float) -> float:
        """Return when a request that comes now is done."""
        self._free_at = max(self._free_at, now) + self._seconds
        return self._free_at


class Connection(asyncio.Protocol):
    """Answers the requests of one client, `delay` seconds after its turn. A client sends one at a time."""

    def __init__(
        self, actions: Actions, waiting: Waiting, delay: float, turns: Turns | None
    ) -> None:
        self._actions = actions
        self._waiting = waiting
        self._delay = delay
        self._turns = turns
        self._loop = asyncio.get_running_loop()
        self._buffer = b""
        self._held: tuple[bytes, asyncio.TimerHandle] | None = None
        self._transport: asyncio.Transport | None = None

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - of a stream
        self._transport = transport

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._held is not None:
            self._held[1].cancel()
            self._held = None
            self._waiting.remove(self)

    @override
    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (request := self._next_request()) is not None:
            if self._turns is None:
                self._handle(*request)
            else:
                self._loop.call_at(self._turns.next(self._loop.time()), self._handle, *request)

    def end_wait(self) -> None:
        """Answer the receive that waits."""
        if self._held is not None:
            body, timer = self._held
            timer.cancel()
            self._held = None
            self._waiting.remove(self)
            self._answer("ReceiveMessage", body)

    def _next_request(self) -> tuple[str, bytes] | None:
        """Return an action and a body, or None until a whole request came."""
        end = self._buffer.find(_END)
        if end < 0:
            return None
        head = self._buffer[:end].lower()
        begin = end + len(_END)
        length = int(_value(head, _LENGTH) or 0)
        if len(self._buffer) < begin + length:
            return None
        target = head.find(_TARGET) + len(_TARGET)
        name = self._buffer[target:end].partition(b"\r")[0].decode("ascii")
        body = self._buffer[begin : begin + length]
        self._buffer = self._buffer[begin + length :]
        return name, body

    def _handle(self, name: str, body: bytes) -> None:
        if name == "ReceiveMessage" and self._actions.is_empty and not self._actions.is_over:
            seconds = json.loads(body).get("WaitTimeSeconds", 0)
            if seconds and self._transport is not None:
                self._held = body, self._loop.call_later(seconds, self.end_wait)
                self._waiting.add(self)
                return
        self._answer(name, body)
        self._waiting.wake(self._actions)

    def _answer(self, name: str, body: bytes) -> None:
        statistics = self._actions.statistics
        before = statistics.received
        status, text = self._actions.answer(name, body)
        delivered = statistics.received - before
        answer = (
            b"HTTP/1.1 %d %s\r\nx-amzn-RequestId: %s\r\nDate: %s\r\n"
            b"Content-Type: application/x-amz-json-1.0\r\nContent-Length: %d\r\n\r\n%s"
        ) % (status, _REASONS[status], _request_id(), _date(), len(text), text)
        if self._delay:
            self._loop.call_later(self._delay, self._send, answer, delivered)
        else:
            self._send(answer, delivered)

    def _send(self, answer: bytes, delivered: int) -> None:
        if self._transport is not None:
            self._transport.write(answer)
        else:
            self._actions.statistics.lost += delivered


def _value(head: bytes, name: bytes) -> bytes:
    """Return the value of a header. `head` and `name` are in lower case."""
    begin = head.find(name)
    return head[begin + len(name) :].partition(b"\r")[0] if begin >= 0 else b""


def _request_id() -> bytes:
    return str(uuid.uuid4()).encode("ascii")


_dates: dict[int, bytes] = {}


def _date() -> bytes:
    """Return the time of now as HTTP writes it. It is made once a second."""
    now = int(time.time())
    if now not in _dates:
        _dates.clear()
        _dates[now] = formatdate(now, usegmt=True).encode("ascii")
    return _dates[now]
