"""The proxy of the chaos test: each fault as a plain client of a plain server sees it."""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import psutil
import pytest

from tests.kit.proxy import closed_port
from tests.kit.tcp_proxy import HOST, Fault, TcpProxy

pytestmark = pytest.mark.command

ANSWER_S = 10
SILENCE_S = 0.3
DELAY_MS = 150


class Echo(socketserver.ThreadingTCPServer):
    """Says what it is told, until `hang_up`. `gone` counts the connections that ended."""

    allow_reuse_address = True

    def __init__(self, port: int = 0) -> None:
        super().__init__((HOST, port), _Answer)
        self.gone = threading.Semaphore(0)
        self.connections: list[socket.socket] = []

    def hang_up(self) -> None:
        """End all connections, from this side."""
        for connection in self.connections:
            connection.shutdown(socket.SHUT_RDWR)


class _Answer(socketserver.BaseRequestHandler):
    server: Echo

    def handle(self) -> None:
        """Echo until the client's end."""
        self.server.connections.append(self.request)
        with suppress(ConnectionError):
            while said := self.request.recv(65_536):
                self.request.sendall(said)
        self.server.gone.release()


@contextmanager
def serving(port: int = 0) -> Iterator[Echo]:
    """A server, in a thread."""
    with Echo(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def echo() -> Iterator[Echo]:
    """A server on a port of its own."""
    with serving() as server:
        yield server


@pytest.fixture
def proxy(echo: Echo) -> Iterator[TcpProxy]:
    """A proxy in front of it; it goes first, and its connections with it."""
    with TcpProxy(echo.server_address[1]) as proxy:
        yield proxy


@contextmanager
def client(proxy: TcpProxy) -> Iterator[socket.socket]:
    """A connection that waits `ANSWER_S` for an answer."""
    with socket.create_connection((HOST, proxy.port), ANSWER_S) as connection:
        yield connection


def ask(connection: socket.socket, text: bytes = b"hello") -> bytes:
    """Send some bytes, and return as many."""
    connection.sendall(text)
    answer = b""
    while len(answer) < len(text) and (got := connection.recv(65_536)):
        answer += got
    return answer


def silent(connection: socket.socket) -> bool:
    """Tell whether no byte comes, and no end, for `SILENCE_S`."""
    connection.settimeout(SILENCE_S)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(ANSWER_S)
    return False


def test_bytes_pass_both_ways(proxy: TcpProxy) -> None:
    """Bytes pass unchanged on several connections, and no fault is counted."""
    with client(proxy) as one, client(proxy) as two:
        noise = os.urandom(50_000)
        assert ask(one, noise) == noise
        assert ask(two) == ask(one) == b"hello"
        assert proxy.live == 2
    assert proxy.connections == 2
    assert not proxy.hits


def test_the_end_of_a_side_passes(proxy: TcpProxy, echo: Echo) -> None:
    """The client's to the server, and the server's to the client."""
    with client(proxy) as connection:
        ask(connection)
    assert echo.gone.acquire(timeout=ANSWER_S)
    echo.connections.clear()
    with client(proxy) as connection:
        ask(connection)
        echo.hang_up()
        assert connection.recv(1) == b""


def test_a_delay_holds_each_chunk_up(proxy: TcpProxy) -> None:
    """The question and the answer, of a connection that was there before."""
    with client(proxy) as connection:
        ask(connection)
        with proxy.broken(Fault.DELAY, DELAY_MS):
            started = time.monotonic()
            assert ask(connection) == b"hello"
            assert time.monotonic() - started >= 2 * DELAY_MS / 1000
        assert proxy.hits == {Fault.DELAY: 1}


def test_a_reset_cuts_what_there_is_and_what_comes(proxy: TcpProxy) -> None:
    """A reset cuts with RST, which a client can tell from an end; afterwards the line is whole."""
    with client(proxy) as before:
        ask(before)
        with proxy.broken(Fault.RESET):
            with pytest.raises(ConnectionResetError):
                before.recv(1)
            with pytest.raises(ConnectionError), client(proxy) as during:
                ask(during)
    assert proxy.hits == {Fault.RESET: 2}
    with client(proxy) as after:
        assert ask(after) == b"hello"


def test_a_blackhole_takes_everything_and_gives_nothing(proxy: TcpProxy) -> None:
    """A blackhole meets connections old and new; neither wakes up when it is over, and a third one works."""
    with client(proxy) as before:
        ask(before)
        with proxy.broken(Fault.BLACKHOLE):
            before.sendall(b"lost")
            with client(proxy) as during:
                during.sendall(b"lost")
                assert silent(before)
                assert silent(during)
                assert proxy.hits == {Fault.BLACKHOLE: 2}
        before.sendall(b"lost too")
        assert silent(before)
        with client(proxy) as after:
            assert ask(after) == b"hello"
    assert proxy.hits == {Fault.BLACKHOLE: 2}


def test_a_blackhole_swallows_the_end_of_the_server(proxy: TcpProxy, echo: Echo) -> None:
    """The client of the server waits on, when the fault is over too."""
    with client(proxy) as connection:
        ask(connection)
        with proxy.broken(Fault.BLACKHOLE):
            echo.hang_up()
            assert silent(connection)
            assert proxy.hits == {Fault.BLACKHOLE: 1}
        assert silent(connection)


def test_a_blackhole_passes_the_end_of_the_client(proxy: TcpProxy, echo: Echo) -> None:
    """A blackhole passes a client's end: else a database would keep the client's locks while the proxy lives."""
    with client(proxy) as connection:
        ask(connection)
        with proxy.broken(Fault.BLACKHOLE):
            connection.sendall(b"lost")
            connection.close()
            assert echo.gone.acquire(timeout=ANSWER_S)


def test_an_idle_connection_survives_a_blackhole(proxy: TcpProxy) -> None:
    """An idle connection sends no byte, so no byte is lost, and no fault is counted."""
    with client(proxy) as connection:
        ask(connection)
        with proxy.broken(Fault.BLACKHOLE):
            pass
        assert ask(connection) == b"hello"
    assert not proxy.hits


@pytest.mark.parametrize("fault", Fault)
def test_a_fault_that_meets_nothing_is_not_counted(proxy: TcpProxy, fault: Fault) -> None:
    """A chaos test that counts faults counts the faults that a connection felt."""
    with proxy.broken(fault, DELAY_MS):
        pass
    assert not proxy.hits


def test_a_server_that_is_away_is_a_reset() -> None:
    """While it restarts; when it is back on its port, so is the line."""
    port = closed_port()
    with TcpProxy(port) as proxy:
        with pytest.raises(ConnectionError), client(proxy) as connection:
            ask(connection)
        with serving(port), client(proxy) as connection:
            assert ask(connection) == b"hello"


def test_a_closed_proxy_leaves_nothing(echo: Echo) -> None:
    """No connection, thread or descriptor is left, even with connections idle, silent and slowed."""
    before = left()
    with ExitStack() as clients:
        with TcpProxy(echo.server_address[1]) as proxy:
            idle, hung, slow = (clients.enter_context(client(proxy)) for _ in range(3))
            assert ask(idle) + ask(hung) + ask(slow)
            with proxy.broken(Fault.BLACKHOLE):
                hung.sendall(b"lost")
                assert silent(hung)
            with proxy.broken(Fault.DELAY, milliseconds=60_000):
                slow.sendall(b"under way")
                assert silent(slow)
            assert proxy.hits == {Fault.BLACKHOLE: 1, Fault.DELAY: 1}
        for connection in (idle, hung, slow):
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
    deadline = time.monotonic() + ANSWER_S  # the server's own threads take a moment to end
    while more_than(before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not more_than(before)


def more_than(before: tuple[int, int]) -> bool:
    """Fewer may be left: what an earlier test began may end meanwhile."""
    return any(now > then for now, then in zip(left(), before, strict=True))


def left() -> tuple[int, int]:
    """Threads and descriptors of this process."""
    return threading.active_count(), psutil.Process().num_fds()
