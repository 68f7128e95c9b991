"""Lambda's runtime API as the runtime interface client meets it: the next invocation, its answer, and its error."""

from __future__ import annotations

import json
import queue
import time
import uuid
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

from typing_extensions import override

from tests.kit.loopback_server import LoopbackServer

PREFIX: Final = "/2018-06-01/runtime"
CALL_SECONDS: Final = 60
"""The time that a function has, by the deadline of each invocation."""


@dataclass(frozen=True, slots=True)
class Posted:
    """What the client posted: `init/error`, `ID/response` or `ID/error`, and its JSON."""

    path: str
    body: Any


class RuntimeApi(LoopbackServer):
    """Gives each event to the client once, and keeps what the client posts. The end gives no more events."""

    def __init__(self) -> None:
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._posted: queue.SimpleQueue[Posted] = queue.SimpleQueue()
        super().__init__(self._handler())

    @property
    def address(self) -> str:
        """The value of AWS_LAMBDA_RUNTIME_API."""
        return self.url.removeprefix("http://")

    def invoke(self, event: dict[str, Any]) -> Posted:
        """Invoke the function with an event, and wait for what the client posts."""
        self._events.put(event)
        return self.wait()

    def wait(self) -> Posted:
        """Wait for what the client posts. Raises queue.Empty after a minute."""
        return self._posted.get(timeout=CALL_SECONDS)

    @override
    def __exit__(self, *_: object) -> None:
        self._events.put(None)
        super().__exit__()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        api = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                event = api._events.get()
                if event is None:
                    self._answer(500, {})
                    return
                deadline_ms = int((time.time() + CALL_SECONDS) * 1000)
                self._answer(
                    200,
                    event,
                    {
                        "Lambda-Runtime-Aws-Request-Id": str(uuid.uuid4()),
                        "Lambda-Runtime-Deadline-Ms": str(deadline_ms),
                        "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-central-1:111122223333:function:f",
                    },
                )

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._answer(202, {"status": "OK"})
                path = self.path.removeprefix(f"{PREFIX}/").removeprefix("invocation/")
                api._posted.put(Posted(path, json.loads(body)))

            def _answer(
                self, status: int, body: object, headers: dict[str, str] | None = None
            ) -> None:
                content = json.dumps(body).encode()
                self.send_response_only(status)
                for name, value in (headers or {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        return Handler
