"""Kept connections to one endpoint of AWS, over HTTP/1.1. Failures are botocore's exceptions."""

from __future__ import annotations

import contextlib
import http.client
import select
import socket
import ssl
import time
import weakref
from collections import deque
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from botocore import exceptions
from botocore.httpsession import (
    ProxyConfiguration,
    create_urllib3_context,
    get_cert_path,
    mask_proxy_url,
)

from vault_etl.platform.http_answers import MAX_BODY, Answer, Incoming, read_answer, read_head

_BUFFER: Final = 65_536
"""Bytes that are read at once: an answer with ten messages of ordinary size."""

LEAST_RATE: Final = 512 * 1024
"""Bytes a second at which an answer has to come after its timeout. Ten messages of 1 MiB have 20 s more."""

UNUSED_S: Final = 30.0
"""Seconds after which a connection that no request used is not used again: servers and firewalls keep it for longer."""

_PORTS: Final = {"http": 80, "https": 443}
_OK: Final = 200


@dataclass(frozen=True, slots=True)
class Route:
    """The way to an endpoint: its URL, the file of CA certificates, and the proxies by scheme, as botocore has them."""

    url: str
    ca_bundle: str | None = None
    """None: the certificates of botocore."""
    proxies: dict[str, str] = field(default_factory=dict, repr=False)  # they may have passwords

    @property
    def proxy(self) -> str | None:
        """The URL of the proxy to pass, or None."""
        return ProxyConfiguration(self.proxies).proxy_url_for(self.url)

    @property
    def is_passable(self) -> bool:
        """Tell whether `Connections` can take this way: no proxy, or CONNECT through one without TLS of its own."""
        return self.proxy is None or (
            self.url.startswith("https://") and self.proxy.startswith("http://")
        )


class Connections:
    """Connections that are kept for the next request. Any thread may use them; each carries one request at a time."""

    def __init__(self, route: Route, connect_timeout: float) -> None:
        self._route = route
        self._connect_timeout = connect_timeout
        self._idle = deque[_Connection]()
        """The connection that was used last is the last one."""
        self._context: ssl.SSLContext | None = None
        weakref.finalize(self, _close_all, self._idle)

    def exchange(self, request: bytes, timeout: float) -> Answer:
        """Send a whole request, and return its answer, which comes within `timeout` seconds.

        An answer has more seconds for its size, by `LEAST_RATE`: `MAX_BODY` / `LEAST_RATE` at most.
        A kept connection that its server has closed is replaced before anything is sent. Nothing is sent twice.
        Raises the exceptions of botocore for a connection that is not made, or ends, or is silent.
        """
        self._close_unused()
        connection = self._kept() or self._connect()
        keeps = False
        try:
            answer = connection.exchange(request, timeout)
            keeps = answer.keeps and not connection.has_surplus()
        except TimeoutError as error:
            raise exceptions.ReadTimeoutError(endpoint_url=self._route.url, error=error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise exceptions.ConnectionClosedError(
                endpoint_url=self._route.url, error=error
            ) from None
        finally:
            if keeps:
                connection.used_at = time.monotonic()
                self._idle.append(connection)
            else:
                connection.close()
        return answer

    def _close_unused(self) -> None:
        """Close the connections that were needed long ago: for more calls at the same time, or before a pause."""
        since = time.monotonic() - UNUSED_S
        with contextlib.suppress(IndexError):  # there is none, or another thread took the last one
            while self._idle[0].used_at < since:
                self._idle.popleft().close()

    def _kept(self) -> _Connection | None:
        """Return the connection that was used last, if its server has kept it too."""
        while self._idle:
            try:
                connection = self._idle.pop()
            except IndexError:  # another thread took the last one
                break
            if not connection.is_closed_by_server():
                return connection
            connection.close()
        return None

    def _connect(self) -> _Connection:
        try:
            return _Connection(self._open())
        except ssl.SSLError as error:
            raise exceptions.SSLError(endpoint_url=self._route.url, error=error) from None
        except TimeoutError as error:
            raise exceptions.ConnectTimeoutError(
                endpoint_url=self._route.url, error=error
            ) from None
        except (OSError, http.client.HTTPException) as error:
            if (proxy := self._route.proxy) is not None:
                masked = mask_proxy_url(proxy)
                raise exceptions.ProxyConnectionError(proxy_url=masked, error=error) from None
            raise exceptions.EndpointConnectionError(
                endpoint_url=self._route.url, error=error
            ) from None

    def _open(self) -> socket.socket:
        """Connect, pass the proxy, and shake hands: each within the timeout to connect."""
        address, proxy = urlsplit(self._route.url), self._route.proxy
        host, port = address.hostname or "", address.port or _PORTS[address.scheme]
        if address.scheme == "https":  # a file that is wrong shows before a connection is made
            self._context = self._context or _verifying(self._route.ca_bundle)
        via = urlsplit(proxy) if proxy else None
        first = (host, port) if via is None else (via.hostname or "", via.port or _PORTS["http"])
        end = socket.create_connection(first, self._connect_timeout)
        try:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if proxy is not None:
                headers = ProxyConfiguration().proxy_headers_for(proxy)
                _Connection(end).tunnel(host, port, headers, self._connect_timeout)
            end.settimeout(self._connect_timeout)  # of the whole handshake
            return self._context.wrap_socket(end, server_hostname=host) if self._context else end
        except BaseException:
            end.close()
            raise


class _Connection:
    """A connection that is made. Its socket does not wait: with a timeout it polls before each send and receive."""

    def __init__(self, end: socket.socket) -> None:
        self.used_at = 0.0
        self._socket = end
        self._socket.settimeout(0)
        self._incoming = Incoming(self._receive)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(end, select.POLLIN)
        self._writable.register(end, select.POLLOUT)
        self._deadline = self._last_deadline = 0.0

    def exchange(self, request: bytes, timeout: float) -> Answer:
        """Send a request, and read its answer."""
        self._send(request, timeout)
        return read_answer(self._incoming)

    def tunnel(self, host: str, port: int, headers: dict[str, str], timeout: float) -> None:
        """Ask a proxy for a tunnel. Raises OSError if it refuses, and what `read_answer` raises."""
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{lines}\r\n"
        self._send(request.encode("latin-1"), timeout)
        _, status, _ = read_head(self._incoming)
        if status != _OK:
            raise OSError("no tunnel")

    def _send(self, request: bytes, timeout: float) -> None:
        self._deadline = time.monotonic() + timeout
        self._last_deadline = self._deadline + MAX_BODY / LEAST_RATE
        while request:
            try:
                request = request[self._socket.send(request) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(self._writable)

    def _receive(self) -> bytes:
        """Return the next bytes, or b"" at the end of the connection."""
        while True:
            if not self._is_decrypted():
                self._wait(self._readable)
            try:
                came = self._socket.recv(_BUFFER)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            more = self._deadline + len(came) / LEAST_RATE
            self._deadline = min(more, self._last_deadline)
            return came

    def _wait(self, ready: select.poll) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0 or not ready.poll(left * 1000):
            raise TimeoutError

    def has_surplus(self) -> bool:
        """Tell whether more came than the answer: the next request would take it for its own."""
        return bool(self._incoming.rest) or self._is_decrypted()

    def _is_decrypted(self) -> bool:
        """Tell whether TLS has bytes that were received already."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def is_closed_by_server(self) -> bool:
        """Tell whether the server has closed an idle connection, or has sent what was not asked for."""
        return bool(self._readable.poll(0))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _verifying(ca_bundle: str | None) -> ssl.SSLContext:
    """Return botocore's own context, which verifies with these certificates. Raises ssl.SSLError."""
    context: ssl.SSLContext = create_urllib3_context()
    context.check_hostname = True  # urllib3 would compare the names itself
    try:
        context.load_verify_locations(ca_bundle or get_cert_path(verify=True))
    except OSError as error:
        raise ssl.SSLError(error) from None
    return context


def _close_all(idle: deque[_Connection]) -> None:
    with contextlib.suppress(IndexError):
        while True:
            idle.pop().close()
