"""The connections of moto's server, each kept for many requests."""

from __future__ import annotations

import io
import traceback

from moto.moto_server.werkzeug_app import MotoRequestHandler
from typing_extensions import override
from werkzeug.exceptions import InternalServerError
from werkzeug.test import run_wsgi_app


class KeepAliveHandler(MotoRequestHandler):
    """Keeps a connection for the next request, as AWS does; werkzeug's own handler closes it.

    The body of a request is read whole before the answer: the next request begins after it.
    """

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    @override
    def run_wsgi(self) -> None:
        environ = self.make_environ()
        is_chunked = environ.get("wsgi.input_terminated")
        length = -1 if is_chunked else int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
        try:
            chunks, status, headers = run_wsgi_app(self.server.app, environ, buffered=True)
        except Exception:  # noqa: BLE001 - the caller gets an answer, whatever failed in moto
            self.server.log("error", "%s", traceback.format_exc())
            chunks, status, headers = run_wsgi_app(InternalServerError(), environ, buffered=True)
        body = b"".join(chunks)
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers.items():
            self.send_header(name, value)
        if "Content-Length" not in headers and int(code) != 204:  # noqa: PLR2004 - No Content
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
