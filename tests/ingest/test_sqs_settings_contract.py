"""botocore and the lean client go the way that AWS's settings say, and send the same request."""

from __future__ import annotations

import email.parser
import json
import time
from email.message import Message
from pathlib import Path

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.credentials import ReadOnlyCredentials
from botocore.exceptions import EndpointConnectionError

from tests.kit.aws_clients import SQS_CLIENTS, aws_clients
from tests.kit.certificates import Authority
from tests.kit.connect_proxy import ConnectProxy
from tests.kit.scripted_server import ScriptedServer, ok
from vault_etl.base.errors import ConfigurationError, UnavailableError
from vault_etl.ingest.sources.sqs import SqsQueue
from vault_etl.platform.aws import AwsClients
from vault_etl.platform.aws_lean_sqs import LeanSqs, endpoint_url

SIGNED_BY_BOTH = {"content-type", "host", "x-amz-date", "x-amz-security-token", "x-amz-target"}


@pytest.fixture(params=SQS_CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """What receives and deletes."""
    return str(request.param)


def queue(clients: AwsClients, url: str, client: str) -> SqsQueue:
    """The queue at an endpoint."""
    return SqsQueue.of(clients, f"{url}/000000000000/queue", 1, lean=client == "lean")


def headers_of(request: bytes) -> Message:
    """The headers of a request."""
    return email.parser.BytesHeaderParser().parsebytes(request.partition(b"\r\n")[2])


def test_a_receive_is_signed_for_its_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Receives of one second are equal. The next second has another signature, by the credentials of then."""
    keys = [ReadOnlyCredentials(f"AKIA{name}", "secret", None) for name in ("OLD", "NEW")]
    with ScriptedServer([ok()] * 4) as server, aws_clients(server.url) as clients:
        made = queue(clients, server.url, "lean")
        for moment, held in ((0, 0), (0, 0), (1, 0), (2, 1)):
            monkeypatch.setattr(time, "time", lambda moment=moment: moment + 0.5)
            monkeypatch.setattr(
                clients.credentials, "get_frozen_credentials", lambda held=held: keys[held]
            )
            made.receive(1)
        first, second, later, renewed = server.requests
    assert first == second
    dates = [headers_of(each)["x-amz-date"] for each in (first, later, renewed)]
    assert dates == ["19700101T000000Z", "19700101T000001Z", "19700101T000002Z"]
    signatures = {headers_of(each)["authorization"] for each in (first, later, renewed)}
    assert len(signatures) == 3
    assert "AKIANEW" in headers_of(renewed)["authorization"]


def test_both_send_the_same_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the endpoint that is set, with the session token, and signed for its region."""
    monkeypatch.setenv("AWS_SESSION_TOKEN", "session-token")
    with ScriptedServer([ok()] * 2) as server, aws_clients(server.url) as clients:
        for client in SQS_CLIENTS:
            assert list(queue(clients, server.url, client).receive(1)) == []
        theirs, ours = map(headers_of, server.requests)
        bodies = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in server.requests]
    assert bodies[0] == bodies[1]
    assert server.requests[1].startswith(b"POST / HTTP/1.1\r\n")
    for name in SIGNED_BY_BOTH - {"x-amz-date"} | {"x-amzn-query-mode"}:
        assert ours[name] == theirs[name] is not None, name
    for headers in (theirs, ours):
        scope, signed, _ = headers["authorization"].split(", ")
        assert scope.endswith("/us-east-1/sqs/aws4_request")
        assert set(signed.partition("=")[2].split(";")) >= SIGNED_BY_BOTH


@pytest.mark.parametrize(
    "handle", ["AQEB+/=~", 'a "quote"', "back\\slash", "line\nend", "\x7f", "\xfc", "\ud800"]
)
def test_both_delete_the_same_handles(handle: str) -> None:
    """Text that JSON writes in another way among plain ones, too."""
    with ScriptedServer([ok()] * 2) as server, aws_clients(server.url) as clients:
        for client in SQS_CLIENTS:
            queue(clients, server.url, client).delete(["plain", handle])
        bodies = [json.loads(each.partition(b"\r\n\r\n")[2]) for each in server.requests]
    assert bodies[0] == bodies[1]
    assert [entry["ReceiptHandle"] for entry in bodies[1]["Entries"]] == ["plain", handle]


def test_the_path_of_an_endpoint_is_kept(client: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An endpoint may be behind a path of a gateway."""
    with ScriptedServer([ok()]) as server, aws_clients(server.url) as clients:
        monkeypatch.setenv("AWS_ENDPOINT_URL_SQS", f"{server.url}/gate/way")
        queue(clients, server.url, client).receive(1)
    assert server.requests[0].startswith(b"POST /gate/way")


@pytest.mark.parametrize("setting", ["AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE"])
def test_tls_and_a_proxy_are_set_in_the_environment(
    client: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bundle verifies the server behind the proxy; NO_PROXY leads past it."""
    authority = Authority.make(tmp_path)
    monkeypatch.setenv(setting, str(authority.bundle))
    with (
        ScriptedServer([ok()] * 2, authority.server("localhost")) as server,
        ConnectProxy() as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        for no_proxy, tunnels in (("", 1), ("localhost", 1)):
            monkeypatch.setenv("NO_PROXY", no_proxy)
            with aws_clients(server.url) as clients:
                assert list(queue(clients, server.url, client).receive(1)) == []
            assert len(proxy.tunnels) == tunnels
        assert len(server.requests) == 2


def test_a_server_that_is_not_verified_gets_no_request(
    client: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is that of TLS."""
    (tmp_path / "theirs").mkdir()
    monkeypatch.setenv("AWS_CA_BUNDLE", str(Authority.make(tmp_path).bundle))
    tls = Authority.make(tmp_path / "theirs").server("localhost")
    with (
        ScriptedServer([ok()], tls) as server,
        aws_clients(server.url) as clients,
        pytest.raises(UnavailableError, match="TLS fails"),
    ):
        queue(clients, server.url, client).receive(1)
    assert server.requests == []


@pytest.mark.parametrize(
    ("endpoint", "setting", "proxy"),
    [
        ("https://sqs.example", "HTTPS_PROXY", "https://proxy.example"),
        ("http://sqs.example", "HTTP_PROXY", "http://proxy.example"),
    ],
)
def test_botocore_passes_a_proxy_that_the_lean_client_cannot(
    endpoint: str, setting: str, proxy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A proxy with TLS of its own, and a proxy for an endpoint without TLS."""
    with aws_clients(endpoint) as clients:
        assert LeanSqs.of(clients, 1) is not None
        monkeypatch.setenv(setting, proxy)
        assert LeanSqs.of(clients, 1) is None


def test_credentials_that_no_header_can_hold_are_not_sent(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token with a line break would be a header of its own."""
    for token in ("token\r\nX-Injected: canary", "canary-t\u00f6ken"):
        monkeypatch.setenv("AWS_SESSION_TOKEN", token)
        with ScriptedServer([ok()]) as server, aws_clients(server.url) as clients:
            with pytest.raises(ConfigurationError, match=r"^(?!.*canary)") as caught:
                queue(clients, server.url, client).receive(1)
            assert server.requests == []
        assert caught.value.service == "credentials"


@pytest.mark.parametrize("rest", ["/a b", "/a?query=1", "/\u00e9"])
def test_botocore_calls_an_endpoint_that_is_not_sent_as_it_is_written(rest: str) -> None:
    """It encodes paths, and takes queries apart."""
    with aws_clients(f"http://localhost:9{rest}") as clients:
        assert LeanSqs.of(clients, 1) is None


@pytest.mark.parametrize("region", ["us-east-1", "us-iso-east-1"])
@pytest.mark.parametrize("setting", ["AWS_USE_FIPS_ENDPOINT", "AWS_USE_DUALSTACK_ENDPOINT", None])
def test_the_endpoint_is_the_one_that_botocore_calls(
    region: str, setting: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With FIPS and dual stack too: for some regions the metadata of its client have another one then."""
    monkeypatch.setenv("AWS_REGION", region)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    if setting:
        monkeypatch.setenv(setting, "true")
    called: list[str] = []

    def stop(request: AWSPreparedRequest, **_other: object) -> None:
        called.append(request.url)
        raise EndpointConnectionError(endpoint_url="")

    clients = AwsClients()
    clients.sqs_receiver(1).meta.events.register("before-send.sqs", stop)
    with pytest.raises(UnavailableError):
        queue(clients, "https://example.org", "botocore").receive(1)
    assert called == [f"{endpoint_url(clients)}/"]
