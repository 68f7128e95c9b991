"""Kept connections to one endpoint of AWS, on http.client. Failures are botocore's exceptions."""

from __future__ import annotations

import contextlib
import http.client
import select
import ssl
import time
import weakref
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

from vault_etl.platform.http_answers import Answer, Incoming, read_answer

_BUFFER: Final = 65_536
"""Bytes that are read at once: an answer with ten messages of ordinary size."""


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
        self._idle: list[_Connection] = []
        self._context: ssl.SSLContext | None = None
        weakref.finalize(self, _close_all, self._idle)

    def exchange(self, request: bytes, timeout: float) -> Answer:
        """Send a whole request, and return its answer, of which the last byte comes within `timeout` seconds.

        A kept connection that its server has closed is replaced before anything is sent. Nothing is sent twice.
        Raises the exceptions of botocore for a connection that is not made, or ends, or is silent.
        """
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
                self._idle.append(connection)
            else:
                connection.close()
        return answer

    def _kept(self) -> _Connection | None:
        """Return the connection that was used last, if its server has kept it too."""
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread took the last one
                connection = self._idle.pop()
                if not connection.is_closed_by_server():
                    return connection
                connection.close()
        return None

    def _connect(self) -> _Connection:
        try:
            made = self._http()
            made.connect()
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
        return _Connection(made)

    def _http(self) -> http.client.HTTPConnection:
        """Return a connection that is not made yet."""
        address = urlsplit(self._route.url)
        host = address.hostname or ""
        if address.scheme != "https":
            return http.client.HTTPConnection(host, address.port, timeout=self._connect_timeout)
        self._context = context = self._context or _verifying(self._route.ca_bundle)
        proxy = self._route.proxy
        if proxy is None:
            return http.client.HTTPSConnection(
                host, address.port, timeout=self._connect_timeout, context=context
            )
        via = urlsplit(proxy)
        made = http.client.HTTPSConnection(
            via.hostname or "", via.port or 80, timeout=self._connect_timeout, context=context
        )
        made.set_tunnel(host, address.port, ProxyConfiguration().proxy_headers_for(proxy))
        return made


class _Connection:
    """A connection that is made. Its socket does not wait: with a timeout it polls before each send and receive."""

    def __init__(self, made: http.client.HTTPConnection) -> None:
        self._made = made
        self._socket = made.sock
        self._socket.settimeout(0)
        self._incoming = Incoming(self._receive)
        self._readable, self._writable = select.poll(), select.poll()
        self._readable.register(made.sock, select.POLLIN)
        self._writable.register(made.sock, select.POLLOUT)
        self._deadline = 0.0

    def exchange(self, request: bytes, timeout: float) -> Answer:
        """Send a request, and read its answer."""
        self._deadline = time.monotonic() + timeout
        while request:
            try:
                request = request[self._socket.send(request) :]
            except (BlockingIOError, ssl.SSLWantWriteError):
                self._wait(self._writable)
        return read_answer(self._incoming)

    def _receive(self) -> bytes:
        """Return the next bytes, or b"" at the end of the connection."""
        while True:
            if not self._is_decrypted():
                self._wait(self._readable)
            with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError):
                return self._socket.recv(_BUFFER)

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
        self._made.close()


def _verifying(ca_bundle: str | None) -> ssl.SSLContext:
    """Return botocore's own context, which verifies with these certificates. Raises ssl.SSLError."""
    context: ssl.SSLContext = create_urllib3_context()
    context.check_hostname = True  # urllib3 would compare the names itself
    try:
        context.load_verify_locations(ca_bundle or get_cert_path(verify=True))
    except OSError as error:
        raise ssl.SSLError(error) from None
    return context


def _close_all(idle: list[_Connection]) -> None:
    for connection in idle:
        connection.close()
