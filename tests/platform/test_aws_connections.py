"""Connections are kept, verified and led through proxies, and nothing is sent twice."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import botocore.exceptions as raised
import pytest

from tests.kit.certificates import Authority
from tests.kit.connect_proxy import ConnectProxy
from tests.kit.proxy import closed_port, silent_port
from tests.kit.scripted_server import Closing, ScriptedServer, ok
from vault_etl.base.errors import ConfigurationError
from vault_etl.platform import aws_connections
from vault_etl.platform.aws_connections import LEAST_RATE, UNUSED_S, Connections, Route
from vault_etl.platform.aws_errors import translated

pytestmark = pytest.mark.command

REQUEST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody"
SECONDS = 5


def connections(url: str, ca_bundle: Path | None = None, proxy: str = "") -> Connections:
    """Connections to this address."""
    proxies = {"https": proxy} if proxy else {}
    return Connections(Route(url, str(ca_bundle) if ca_bundle else None, proxies), SECONDS)


def test_a_connection_is_kept() -> None:
    """Three requests, one connection; whole requests arrive."""
    with ScriptedServer([ok(b"1"), ok(b"2"), ok(b"3")]) as server:
        made = connections(server.url)
        assert [made.exchange(REQUEST, SECONDS).body for _ in range(3)] == [b"1", b"2", b"3"]
        assert server.connections == 1
        assert server.requests == [REQUEST] * 3


@pytest.mark.parametrize(
    "first", [b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"HTTP/1.0 200 OK\r\n\r\n"]
)
def test_a_connection_that_ends_with_its_answer_is_not_kept(first: bytes) -> None:
    """The answer says so, by a header or by its protocol."""
    with ScriptedServer([Closing(first), ok()]) as server:
        made = connections(server.url)
        for _ in range(2):
            assert made.exchange(REQUEST, SECONDS).status == 200
        assert server.connections == 2


def test_an_idle_connection_that_the_server_closed_is_replaced() -> None:
    """Without an error, and before anything is sent on it."""
    with ScriptedServer([Closing(ok()), ok()]) as server:
        made = connections(server.url)
        made.exchange(REQUEST, SECONDS)
        assert server.closed.wait(SECONDS)
        assert made.exchange(REQUEST, SECONDS).status == 200
        assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("part", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"])
def test_a_request_without_a_whole_answer_is_not_sent_again(part: bytes, kept: bool) -> None:
    """The server may have done what it was asked: a receive has hidden its messages."""
    with ScriptedServer([*([ok()] if kept else []), Closing(part), ok()]) as server:
        made = connections(server.url)
        if kept:
            made.exchange(REQUEST, SECONDS)
        with pytest.raises(raised.ConnectionClosedError):
            made.exchange(REQUEST, SECONDS)
        assert len(server.requests) == 1 + kept
        assert made.exchange(REQUEST, SECONDS).status == 200


@pytest.mark.parametrize("surplus", [ok(b"surplus"), b" "])
def test_a_surplus_is_not_taken_for_the_next_answer(surplus: bytes) -> None:
    """A connection with more than its answer is out of step, and not used again."""
    with ScriptedServer([ok(b"1") + surplus, ok(b"2")]) as server:
        made = connections(server.url)
        assert [made.exchange(REQUEST, SECONDS).body for _ in range(2)] == [b"1", b"2"]
        assert server.connections == 2


def test_a_surplus_in_tls_is_not_taken_for_the_next_answer(authority: Authority) -> None:
    """Nor is one that comes with the answer in one record."""
    with ScriptedServer([ok(b"1") * 2, ok(b"2")], authority.server("localhost")) as server:
        made = connections(server.url, authority.bundle)
        assert [made.exchange(REQUEST, SECONDS).body for _ in range(2)] == [b"1", b"2"]
        assert server.connections == 2


@contextlib.contextmanager
def dripping(*pieces: bytes, pause: float = 0.05) -> Iterator[int]:
    """The port of a server that sends these pieces with pauses between them, to one client."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            end, _ = listener.accept()
            with end, contextlib.suppress(OSError):
                for piece in pieces:
                    end.sendall(piece)
                    time.sleep(pause)

        thread = threading.Thread(target=drip)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"


@pytest.mark.parametrize(
    "pieces", [[INTERIM] * 100, [INTERIM * 10_000] * 1_000], ids=["slowly", "without an end"]
)
def test_an_answer_that_goes_on_is_given_up(
    pieces: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer has a few more seconds for its bytes, at most as many as the largest one needs."""
    monkeypatch.setattr(aws_connections, "MAX_BODY", LEAST_RATE // 2)
    began = time.monotonic()
    with (
        dripping(*pieces, pause=0.05 if len(pieces) == 100 else 0) as port,
        pytest.raises(raised.ReadTimeoutError),
    ):
        connections(f"http://127.0.0.1:{port}").exchange(REQUEST, 0.3)
    assert time.monotonic() - began < 3


def test_a_large_answer_has_the_time_that_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes three times the timeout, since it comes as fast as the least rate asks."""
    monkeypatch.setattr(aws_connections, "LEAST_RATE", 3_000)
    piece = b"x" * 1_000
    with dripping(ok(piece * 18).removesuffix(piece * 18), *[piece] * 18) as port:
        answer = connections(f"http://127.0.0.1:{port}").exchange(REQUEST, 0.3)
    assert len(answer.body) == 18_000


def test_a_silent_server_is_given_up() -> None:
    """After the timeout, and its connection is not used again."""
    with ScriptedServer([b"", ok()]) as server:
        made = connections(server.url)
        with pytest.raises(raised.ReadTimeoutError):
            made.exchange(REQUEST, 0.1)
        assert made.exchange(REQUEST, SECONDS).status == 200
        assert server.connections == 2


def test_a_server_that_is_away_is_named_by_its_class(tmp_path: Path) -> None:
    """A closed port, and a port whose TLS handshake is never answered."""
    with pytest.raises(raised.EndpointConnectionError):
        connections(f"http://localhost:{closed_port()}").exchange(REQUEST, SECONDS)
    bundle = str(Authority.make(tmp_path).bundle)
    with silent_port() as port:
        made = Connections(Route(f"https://127.0.0.1:{port}", bundle), 0.1)
        with pytest.raises(raised.ConnectTimeoutError):
            made.exchange(REQUEST, SECONDS)


def test_a_connection_that_was_long_unused_is_closed() -> None:
    """A firewall may have forgotten it: a request would get no answer. One in use stays."""
    with ScriptedServer([ok()] * 3) as server:
        made = connections(server.url)
        made._idle.extend(made._connect() for _ in range(3))
        unused = list(made._idle)
        for each in unused:
            each.used_at = time.monotonic()
        made.exchange(REQUEST, SECONDS)
        assert len(made._idle) == 3
        for each in unused:
            each.used_at -= UNUSED_S + 1
        made.exchange(REQUEST, SECONDS)
        assert [each._socket.fileno() for each in unused] == [-1, -1, -1]
        assert len(made._idle) == 1
        made.exchange(REQUEST, SECONDS)
        assert server.connections == 4


def test_each_thread_has_a_connection_of_its_own() -> None:
    """Threads at the same time share none, and later requests use those that were made."""
    threads, together = 4, threading.Barrier(4)
    with ScriptedServer([ok()] * 3 * threads) as server:
        made = connections(server.url)

        def ask() -> int:
            together.wait(SECONDS)
            return sum(made.exchange(REQUEST, SECONDS).status == 200 for _ in range(3))

        with ThreadPoolExecutor(threads) as pool:
            asked = [pool.submit(ask) for _ in range(threads)]
            assert [each.result() for each in asked] == [3] * threads
        assert server.connections <= threads


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """An authority that this machine does not trust."""
    return Authority.make(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def secure(authority: Authority) -> Iterator[ScriptedServer]:
    """A server with a certificate for localhost."""
    with ScriptedServer([ok(b"1"), ok(b"2")], authority.server("localhost")) as server:
        yield server


def test_tls_is_verified_with_the_bundle(authority: Authority, secure: ScriptedServer) -> None:
    """Two requests, one handshake."""
    made = connections(secure.url, authority.bundle)
    assert [made.exchange(REQUEST, SECONDS).body for _ in range(2)] == [b"1", b"2"]
    assert secure.connections == 1


def test_a_certificate_of_another_authority_is_refused(
    secure: ScriptedServer, tmp_path: Path
) -> None:
    """Nothing is sent to its server: neither with another bundle, nor with the certificates of botocore."""
    for bundle in (Authority.make(tmp_path).bundle, None):
        with pytest.raises(raised.SSLError):
            connections(secure.url, bundle).exchange(REQUEST, SECONDS)
    assert secure.requests == []


def test_a_certificate_for_another_host_is_refused(authority: Authority) -> None:
    """Nothing is sent to its server."""
    with (
        ScriptedServer([ok()], authority.server("other.example")) as server,
        pytest.raises(raised.SSLError),
    ):
        connections(server.url, authority.bundle).exchange(REQUEST, SECONDS)
    assert server.requests == []


def test_a_bundle_that_is_not_there_is_a_wrong_setting(tmp_path: Path) -> None:
    """No connection is made."""
    with pytest.raises(ConfigurationError, match="CA certificates"), translated("SQS"):
        connections("https://localhost:9", tmp_path / "gone").exchange(REQUEST, SECONDS)


def test_a_tunnel_leads_through_the_proxy(authority: Authority, secure: ScriptedServer) -> None:
    """TLS is verified inside the tunnel; the proxy sees its own user and password, and the host."""
    with ConnectProxy() as proxy:
        url = proxy.url.replace("//", "//user:p%40ss@")
        made = connections(secure.url, authority.bundle, url)
        assert [made.exchange(REQUEST, SECONDS).body for _ in range(2)] == [b"1", b"2"]
        assert proxy.tunnels == [(f"localhost:{secure.port}", "Basic dXNlcjpwQHNz")]


@pytest.mark.parametrize("refusal", [403, 407, None])
def test_a_proxy_that_refuses_or_is_away_is_named(refusal: int | None) -> None:
    """Without its password."""
    with ConnectProxy(refusal) as proxy:
        url = proxy.url if refusal else f"http://127.0.0.1:{closed_port()}"
        made = connections("https://localhost:9", proxy=url.replace("//", "//user:canary@"))
        with pytest.raises(raised.ProxyConnectionError) as caught:
            made.exchange(REQUEST, SECONDS)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    "pieces", [[b"x"] * 100, [INTERIM] * 100], ids=["bytes", "interim answers"]
)
def test_a_proxy_that_drips_is_given_up(authority: Authority, pieces: list[bytes]) -> None:
    """The timeout to connect is that of its whole answer."""
    began = time.monotonic()
    with dripping(*pieces) as port:
        route = Route(
            "https://localhost:9", str(authority.bundle), {"https": f"http://127.0.0.1:{port}"}
        )
        with pytest.raises(raised.ConnectTimeoutError):
            Connections(route, 0.3).exchange(REQUEST, SECONDS)
    assert time.monotonic() - began < 3


def test_some_ways_are_not_passable() -> None:
    """A proxy with TLS of its own, and a proxy for an endpoint without TLS."""
    secure, plain = "https://sqs.example", "http://sqs.example"
    assert Route(secure).is_passable
    assert Route(plain).is_passable
    assert Route(secure, None, {"https": "proxy.example:3128"}).is_passable
    assert Route(secure, None, {"http": "https://proxy.example"}).is_passable
    assert not Route(secure, None, {"https": "https://proxy.example"}).is_passable
    assert not Route(plain, None, {"http": "http://proxy.example"}).is_passable
