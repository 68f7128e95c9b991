"""A container's credentials endpoint, or STS, as a process meets it: a server of one answer at a time."""

from __future__ import annotations

import datetime as dt
import json
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler

from typing_extensions import override

from tests.kit.loopback_server import LoopbackServer

Reply = tuple[int, bytes] | Callable[[], tuple[int, bytes]] | None
"""A status and a body, made when it is asked for or before; or silence."""


class CredentialsServer(LoopbackServer):
    """Answers GET and POST alike with `reply`, which can be changed; counts what it was asked."""

    def __init__(self, reply: Reply = None) -> None:
        self.reply = reply
        self.asked = 0
        self._closed = threading.Event()
        super().__init__(self._handler())

    @override
    def __exit__(self, *_: object) -> None:
        self._closed.set()
        super().__exit__()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked += 1
                reply = server.reply
                if reply is None:
                    server._closed.wait()
                    return
                status, body = reply() if callable(reply) else reply
                self.send_response_only(status)
                self.send_header("Content-Length", str(len(body)))
                with suppress(ConnectionError):
                    self.end_headers()
                    self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", "0")))
                self.do_GET()

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler


def credentials(keys: Mapping[str, str], seconds: float) -> bytes:
    """A container's credentials: the keys of this environment, for so long."""
    ends = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=seconds)
    return json.dumps(
        {
            "AccessKeyId": keys["AWS_ACCESS_KEY_ID"],
            "SecretAccessKey": keys["AWS_SECRET_ACCESS_KEY"],
            "Token": "",
            "Expiration": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
    ).encode()
