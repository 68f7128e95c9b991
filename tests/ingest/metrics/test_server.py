"""The HTTP server beside an ingest: its answers, and its bounds for slow or many clients."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics import parser as openmetrics

from tests.ingest.metrics.reports import samples, value
from tests.kit.declared import USER_LOGINS
from tests.kit.waiting import until
from vault_etl.base.errors import ConfigurationError
from vault_etl.ingest.metrics import server as metrics_server
from vault_etl.ingest.metrics.prometheus import PrometheusMetrics
from vault_etl.ingest.metrics.server import MAX_CONNECTIONS, MetricsServer
from vault_etl.ingest.observer import Movement

pytestmark = pytest.mark.command


class Site:
    """A server on a port of the system's choice, and its two probes."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        self.metrics = PrometheusMetrics([USER_LOGINS])
        self.not_ready: str | None = None
        self.not_healthy: str | None = None
        self.server = MetricsServer(
            address,
            exposition=self.metrics.exposition,
            ready=lambda: self.not_ready,
            healthy=lambda: self.not_healthy,
        )

    @property
    def reachable(self) -> str:
        """Return its address from this machine."""
        return self.server.address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - asked for

    def get(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str, bytes]:
        """Return status, content type and body."""
        asked = urllib.request.Request(
            f"http://{self.reachable}{path}", method=method, headers=headers
        )
        try:
            with urllib.request.urlopen(asked, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.headers["Content-Type"], answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.headers["Content-Type"], error.read()

    def connect(self) -> socket.socket:
        """Return a bare connection."""
        host, _, port = self.server.address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout=30)


@pytest.fixture
def site() -> Iterator[Site]:
    """A server, closed in the end."""
    running = Site()
    yield running
    running.server.close()


def test_metrics_are_served_as_of_now(site: Site) -> None:
    """Each scrape has the current numbers, in Prometheus's text format."""
    for expected in (5, 10):
        site.metrics.moved(Movement.RECEIVED, 5)
        status, content_type, body = site.get("/metrics")
        assert status == 200
        assert content_type.startswith("text/plain; version=0.0.4")
        assert value(samples(body), "messages_received_total") == expected


def test_openmetrics_is_served_on_request(site: Site) -> None:
    """The header Accept chooses the format."""
    status, content_type, body = site.get(
        "/metrics?x=1", Accept="application/openmetrics-text; version=1.0.0"
    )
    assert (status, content_type.split(";")[0]) == (200, "application/openmetrics-text")
    families = {f.name for f in openmetrics.text_string_to_metric_families(body.decode())}  # type: ignore[no-untyped-call]
    assert "vault_etl_messages_received" in families


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_return_the_reason(site: Site, path: str) -> None:
    """200 while all is well; otherwise 503 and one word, and never more than a word."""
    assert site.get(path)[::2] == (200, b"ok\n")
    site.not_ready = site.not_healthy = "unavailable"
    assert site.get(path)[::2] == (503, b"unavailable\n")
    site.not_ready = site.not_healthy = "row (203.0.113.77) refused"
    assert site.get(path)[::2] == (503, b"unknown\n")
    site.not_ready = site.not_healthy = None
    assert site.get(path)[::2] == (200, b"ok\n")


def test_health_and_readiness_are_two(site: Site) -> None:
    """An ingest that is not ready is still healthy: no supervisor restarts it for that."""
    site.not_ready = "stopping"
    assert site.get("/readyz")[0] == 503
    assert site.get("/healthz")[0] == 200
    assert site.get("/metrics")[0] == 200


@pytest.mark.parametrize("path", ["/", "/metrics/", "/metrics/../healthz", "/HEALTHZ"])
def test_other_paths_are_not_found(site: Site, path: str) -> None:
    """Three paths exist, and no other."""
    assert site.get(path)[::2] == (404, b"not found\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "get"])
@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/nothing"])
def test_other_methods_are_not_allowed(site: Site, method: str, path: str) -> None:
    """The answer allows GET and HEAD only."""
    connection = http.client.HTTPConnection(site.server.address, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
    answer.read()
    connection.close()


def test_head_has_the_headers_alone(site: Site) -> None:
    """HEAD is GET without a body."""
    with site.connect() as connection:
        connection.sendall(b"HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = _all_of(connection)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ")
    assert int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]) > 1_000
    assert body == b""


def test_a_malformed_request_is_refused_and_not_quoted(site: Site) -> None:
    """400, without the words of the request."""
    with site.connect() as connection:
        connection.sendall(b"GET /203.0.113.77 203.0.113.77 HTTP/1.1\r\n\r\n")
        answer = _all_of(connection)
    assert answer.startswith(b"HTTP/1.0 400 Bad Request\r\n")
    assert b"203.0.113.77" not in answer


def test_an_error_is_not_quoted(capfd: pytest.CaptureFixture[str]) -> None:
    """An exposition that raises is 500; neither the client nor standard error gets its text."""
    secret = "203.0.113.77"

    def fail(_: str) -> tuple[bytes, str]:
        raise ValueError(secret)

    server = MetricsServer("127.0.0.1:0", exposition=fail, ready=lambda: None, healthy=lambda: None)
    connection = http.client.HTTPConnection(server.address, timeout=10)
    connection.request("GET", "/metrics")
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (500, b"error\n")
    connection.close()
    server.close()
    assert capfd.readouterr().err == ""


def test_slow_clients_do_not_delay_a_probe(site: Site) -> None:
    """With three times the allowed silent connections, a probe is answered at once."""
    with contextlib.ExitStack() as stack:
        for number in range(3 * MAX_CONNECTIONS):
            slow = stack.enter_context(site.connect())
            slow.sendall(b"GET /metrics HTTP/1.1\r\n" if number % 2 else b"G")
        began = time.monotonic()
        assert site.get("/healthz")[0] == 200
        assert site.get("/metrics")[0] == 200
        assert time.monotonic() - began < metrics_server.HEAD_SECONDS / 2
        assert threading.active_count() < 3 * MAX_CONNECTIONS


def test_a_slow_request_is_dropped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time is for the whole head, not for each byte."""
    monkeypatch.setattr(metrics_server, "HEAD_SECONDS", 0.5)
    began = time.monotonic()
    with site.connect() as connection, contextlib.suppress(ConnectionError):
        while time.monotonic() - began < 20:
            connection.sendall(b"X")
            time.sleep(0.05)
    assert time.monotonic() - began < 10


def test_a_client_that_does_not_read_is_dropped(
    site: Site, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The answer is dropped after its time, and its thread is free."""
    monkeypatch.setattr(metrics_server, "ANSWER_SECONDS", 0.3)
    site.server._server.site._exposition = lambda _: (b"x" * 50_000_000, "text/plain")
    before = threading.active_count()
    with site.connect() as connection:
        connection.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        assert connection.recv(1)
        until(lambda: threading.active_count() <= before)
    assert capfd.readouterr().err == ""


def test_a_head_without_an_end_is_dropped(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """A head has 8 KiB at most, within its time too."""
    monkeypatch.setattr(metrics_server, "HEAD_SECONDS", 60)
    with site.connect() as connection, pytest.raises(ConnectionError):
        connection.sendall((b"X-Long: " + b"x" * 8_000 + b"\r\n") * 10_000)
    assert site.get("/healthz")[0] == 200


def test_a_taken_address_is_an_error_of_configuration(site: Site) -> None:
    """Exit 78 names the setting."""
    with pytest.raises(ConfigurationError, match=r"VAULT_ETL_METRICS_ADDRESS.* is in use") as error:
        Site(site.server.address)
    assert error.value.exit_code == 78


@pytest.mark.parametrize(
    "address",
    ["", ":9464", "9464", "localhost", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:9464",
     "[::1]", "http://127.0.0.1:9464", "127.0.0.1:9464/metrics", "127.0.0.1 :9464", "a..b:1",
     "x" * 64 + ":1", "127.0.0.1:٣"],
)  # fmt: skip
def test_a_malformed_address_is_refused(address: str) -> None:
    """The address needs a host, also to listen on all interfaces."""
    with pytest.raises(ConfigurationError, match=r"VAULT_ETL_METRICS_ADDRESS.* is malformed"):
        Site(address)


def test_an_address_of_another_machine_is_refused() -> None:
    """192.0.2.1 (RFC 5737) is an address of no machine."""
    with pytest.raises(ConfigurationError, match="is not an address of this machine"):
        Site("192.0.2.1:0")


@pytest.mark.parametrize(
    ("asked", "begins"), [("[::1]:0", "[::1]:"), ("0.0.0.0:0", "0.0.0.0:"), ("localhost:0", "")]
)
def test_the_address_has_the_chosen_port(asked: str, begins: str) -> None:
    """IPv6, all interfaces, a name: the address has the port that the system chose, and answers."""
    site = Site(asked)
    assert site.server.address.startswith(begins)
    assert int(site.server.address.rpartition(":")[2]) > 0
    assert site.get("/healthz")[0] == 200
    site.server.close()


def test_a_closed_server_leaves_nothing() -> None:
    """No socket listens, no thread is left, and the address is free at once."""
    before = threading.active_count()
    first = Site()
    assert first.get("/healthz")[0] == 200
    address = first.server.address
    first.server.close()
    with pytest.raises(OSError), first.connect():  # noqa: PT011 - refused, by whatever errno
        pass
    second = Site(address)
    assert second.get("/healthz")[0] == 200
    second.server.close()
    until(lambda: threading.active_count() <= before)


def _all_of(connection: socket.socket) -> bytes:
    answer = b""
    while received := connection.recv(65_536):
        answer += received
    return answer
