"""Kept connections to one endpoint of AWS, on http.client. Failures are botocore's exceptions."""

from __future__ import annotations

import contextlib
import http.client
import io
import select
import socket
import ssl
import time
import weakref
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from botocore import exceptions
from botocore.httpsession import (
    ProxyConfiguration,
    create_urllib3_context,
    get_cert_path,
    mask_proxy_url,
)
from typing_extensions import override

from vault_etl.platform.http_answers import Answer, read_answer

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

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
    """A connection that is made."""

    def __init__(self, made: http.client.HTTPConnection) -> None:
        self._made = made
        self._socket = made.sock
        self._incoming = _Incoming(made.sock)
        self._answers = io.BufferedReader(self._incoming, _BUFFER)
        self._readable = select.poll()
        self._readable.register(made.sock, select.POLLIN)

    def exchange(self, request: bytes, timeout: float) -> Answer:
        """Send a request, and read its answer."""
        self._incoming.deadline = time.monotonic() + timeout
        self._socket.settimeout(timeout)
        self._socket.sendall(request)
        answer = read_answer(self._answers)
        self._incoming.deadline = None
        return answer

    def has_surplus(self) -> bool:
        """Tell whether more came than the answer: the next request would take it for its own."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        # What is in the buffer: without a deadline nothing is read.
        return bool(self._answers.peek(1))

    def is_closed_by_server(self) -> bool:
        """Tell whether the server has closed an idle connection, or has sent what was not asked for."""
        return bool(self._readable.poll(0))

    def close(self) -> None:
        """Close the connection."""
        self._made.close()


class _Incoming(io.RawIOBase):
    """The bytes of a socket until a deadline; without one, nothing is read."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.deadline: float | None = None

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: WriteableBuffer, /) -> int | None:
        if self.deadline is None:
            return None
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._end.settimeout(left)
        return self._end.recv_into(buffer)


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
