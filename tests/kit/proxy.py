"""A loopback proxy that sees every AWS call first, and ports behind which nothing answers."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from tests.kit.loopback_server import LoopbackServer

UPSTREAM_SECONDS = 60
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call: its operation, such as `Decrypt`, and what the caller says of itself."""

    operation: str
    user_agent: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer of the proxy's own."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


Verdict = bool | str | bytes | Answer
Judge = Callable[[Call], Verdict]
"""Asked before a call is passed on. False: the connection is closed without an answer.

A text is the code of an AWS error, which is the answer. Bytes are the body of the answer.
"""


class FaultProxy(LoopbackServer):
    """Passes AWS calls on, headers as they are (they are signed), unless `judge` says no."""

    def __init__(self, upstream: str, judge: Judge = lambda _: True) -> None:
        self.calls: list[Call] = []
        super().__init__(_handler(upstream, judge, self.calls))

    def operations(self) -> list[str]:
        """The operations called so far, in order."""
        return [call.operation for call in self.calls]


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers: what a firewall or a hung server looks like."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield listener.getsockname()[1]


def closed_port() -> int:
    """A port on which no process listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


def _handler(upstream: str, judge: Judge, calls: list[Call]) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(upstream).netloc

    class Handler(BaseHTTPRequestHandler):
        """One connection. It is closed after one call, so that none outlives the test."""

        def do_POST(self) -> None:
            """Judge, pass on, and hand the answer back."""
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            call = Call(
                _operation(self.headers.get("X-Amz-Target", ""), body),
                self.headers.get("User-Agent", ""),
                body,
            )
            calls.append(call)
            verdict = judge(call)
            if verdict is False:
                return
            status, headers, answer = (
                _ask(address, self.path, body, dict(self.headers.items()))
                if isinstance(verdict, bool)
                else _own(verdict)
            )
            self.send_response_only(status)
            for name, value in headers:
                if name.lower() not in HOP_BY_HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            with suppress(ConnectionError):  # the caller may be gone: some tests see to that
                self.end_headers()
                self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _own(verdict: str | bytes | Answer) -> tuple[int, list[tuple[str, str]], bytes]:
    if isinstance(verdict, Answer):
        return verdict.status, list(verdict.headers), verdict.body
    if isinstance(verdict, bytes):
        return 200, [], verdict
    return 400, [], json.dumps({"__type": verdict}).encode()


def _ask(
    address: str, path: str, body: bytes, headers: dict[str, str]
) -> tuple[int, list[tuple[str, str]], bytes]:
    connection = http.client.HTTPConnection(address, timeout=UPSTREAM_SECONDS)
    try:
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def _operation(target: str, body: bytes) -> str:
    """The operation of a call: in the JSON protocol its header, in the query protocol its Action."""
    if target:
        return target.rpartition(".")[2]
    return parse_qs(body.decode("utf-8", "replace")).get("Action", ["?"])[0]
