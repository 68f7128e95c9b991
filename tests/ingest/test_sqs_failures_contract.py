"""botocore and the lean client meet the same answers and faults of SQS, and callers see no difference."""

from __future__ import annotations

import hashlib
import json
import traceback
from collections.abc import Iterator

import pytest

from tests.kit.aws_clients import SQS_CLIENTS, aws_clients
from tests.kit.call_observer import Told
from tests.kit.proxy import Answer, FaultProxy, Verdict, closed_port
from tests.kit.sqs_answers import CANARY, answer, message
from vault_etl.base.errors import (
    ConfigurationError,
    DeniedError,
    KeyUnavailableError,
    UnavailableError,
    VaultEtlError,
)
from vault_etl.ingest.sources.sqs import SqsQueue
from vault_etl.platform.aws import AwsClients

RECEIVE, DELETE = "ReceiveMessage", "DeleteMessageBatch"


def refusal(code: str, text: str = "", status: int = 400, query: str = "") -> Answer:
    """An error in the JSON protocol; `query`: its name in the older protocol, as SQS tells it in a header."""
    headers = (("x-amzn-query-error", f"{query};Sender"),) if query else ()
    return Answer(status, json.dumps({"__type": code, "message": text}).encode(), headers)


class Rig:
    """The adapter, connected to a proxy that gives the answers of one test, and what the observer is told."""

    def __init__(self, client: str, proxy: FaultProxy, told: Told, clients: AwsClients) -> None:
        self.url = f"{proxy.url}/000000000000/queue"
        self.queue = SqsQueue.of(clients, self.url, 1, lean=client == "lean")
        self.proxy = proxy
        self.told = told

    def answer(self, *answers: Verdict) -> None:
        """Answer with each of these in turn, from now on."""
        self.proxy.calls.clear()
        self.told.calls.clear()
        self.told.failures.clear()
        self.verdicts = iter(answers)


@pytest.fixture(scope="module", params=SQS_CLIENTS)
def client(request: pytest.FixtureRequest) -> str:
    """What receives and deletes."""
    return str(request.param)


@pytest.fixture(scope="module")
def rig(client: str) -> Iterator[Rig]:
    """The rig of all tests: to make a client of botocore takes longer than a test."""
    told = Told()
    with (
        FaultProxy("", lambda _: next(made.verdicts)) as proxy,
        aws_clients(proxy.url, observer=told) as clients,
    ):
        made = Rig(client, proxy, told, clients)
        yield made


def test_a_receive_asks_for_what_is_needed(rig: Rig) -> None:
    """One request and one message, whose parts are those of the answer."""
    rig.answer(answer(message("body é")))
    (received,) = rig.queue.receive(1, 7)
    assert received.body.expose() == "body é".encode()
    assert (received.sent_ms, received.receive_count) == (1_700_000_000_000, 3)
    assert json.loads(rig.proxy.calls[0].body) == {
        "QueueUrl": rig.url,
        "MaxNumberOfMessages": 7,
        "WaitTimeSeconds": 1,
        "MessageSystemAttributeNames": ["SentTimestamp", "ApproximateReceiveCount"],
    }
    assert "vault-etl/" in rig.proxy.calls[0].user_agent
    assert (rig.told.calls, rig.told.failures) == ([("sqs", RECEIVE)], [])
    assert rig.told.seconds > 0


@pytest.mark.parametrize("empty", [b"{}", b'{"Messages": []}'])
def test_an_answer_without_messages_brings_none(rig: Rig, empty: bytes) -> None:
    """SQS leaves the list out."""
    rig.answer(empty)
    assert list(rig.queue.receive(1)) == []


def test_a_body_keeps_a_lone_surrogate(rig: Rig) -> None:
    """The parser rejects it later, as not UTF-8: it is not lost here."""
    body = "\ud800".encode("utf-8", "surrogatepass")
    checked = hashlib.md5(body, usedforsecurity=False).hexdigest()
    rig.answer(answer(message("", Body="\ud800", MD5OfBody=checked)))
    (received,) = rig.queue.receive(1)
    assert received.body.expose() == body


def test_a_body_that_did_not_arrive_whole_is_not_received(rig: Rig) -> None:
    """It comes again. The error does not quote the body."""
    rig.answer(answer(message(CANARY, MD5OfBody="0" * 32)))
    with pytest.raises(UnavailableError, match="did not arrive whole") as caught:
        rig.queue.receive(1)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


FAULTS: dict[str, tuple[Verdict, type[VaultEtlError], str, str, int]] = {
    "throttled": (
        refusal("com.amazonaws.sqs#RequestThrottled", query="RequestThrottled"),
        UnavailableError, "throttled", "RequestThrottled", 3,
    ),
    "too many": (Answer(429), UnavailableError, "HTTP error", "429", 3),
    "internal error": (Answer(500), UnavailableError, "HTTP error", "500", 3),
    "told of an error inside": (
        refusal("InternalFailure", CANARY, 500), UnavailableError, "failed inside", "InternalFailure", 3,
    ),
    "not available": (
        Answer(503, b"<html>no</html>"), UnavailableError, "HTTP error", "503", 3,
    ),
    "cut": (False, UnavailableError, "cannot be reached", "ConnectionClosedError", 3),
    "no queue": (
        refusal("com.amazonaws.sqs#QueueDoesNotExist", CANARY, query="AWS.SimpleQueueService.NonExistentQueue"),
        ConfigurationError, "no such queue", "AWS.SimpleQueueService.NonExistentQueue", 1,
    ),
    "denied": (refusal("AccessDenied", CANARY, 403), DeniedError, "denies", "AccessDenied", 1),
    "forbidden": (Answer(403, b"no"), DeniedError, "denies", "403", 1),
    "credentials expired": (
        refusal("ExpiredToken", CANARY, 403), DeniedError, "run out", "ExpiredToken", 1,
    ),
    "signature wrong": (
        refusal("SignatureDoesNotMatch", CANARY, 403), DeniedError, "AWS_REGION", "SignatureDoesNotMatch", 1,
    ),
    "clock wrong": (
        refusal("SignatureDoesNotMatch", "Signature expired: x", 403),
        UnavailableError, "clock wrong", "SignatureDoesNotMatch", 1,
    ),
    "key disabled": (
        refusal("KmsDisabled", CANARY, query="KMS.DisabledException"),
        KeyUnavailableError, "its own KMS key", "KMS.DisabledException", 1,
    ),
    "moved": (Answer(307, b"", (("Location", "http://127.0.0.1:9/"),)), UnavailableError, "HTTP error", "307", 1),
}  # fmt: skip
"""An answer; the error, a part of its text or hint, and its code in metrics; how often a delete is tried."""


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_receive_has_its_error(rig: Rig, fault: str) -> None:
    """The receive is tried once, and counted by its code."""
    verdict, kind, says, code, _ = FAULTS[fault]
    rig.answer(verdict)
    with pytest.raises(VaultEtlError) as caught:
        rig.queue.receive(1)
    assert type(caught.value) is kind
    assert says in f"{caught.value} {caught.value.hint}"
    assert caught.value.service == "sqs"
    assert rig.proxy.operations() == [RECEIVE]
    assert rig.told.calls == [("sqs", RECEIVE)]
    assert rig.told.failures == [("sqs", RECEIVE, code)]
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_of_a_delete_has_its_error(
    rig: Rig, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault that may pass is tried three times, and each try is counted."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    verdict, kind, says, code, tries = FAULTS[fault]
    rig.answer(*[verdict] * tries)
    with pytest.raises(VaultEtlError) as caught:
        rig.queue.delete(["handle"])
    assert type(caught.value) is kind
    assert says in f"{caught.value} {caught.value.hint}"
    assert rig.proxy.operations() == [DELETE] * tries
    assert rig.told.calls == [("sqs", DELETE)]
    assert rig.told.failures == [("sqs", DELETE, code)] * tries


@pytest.mark.parametrize("first", [False, Answer(500), "ThrottlingException"])
def test_a_delete_that_a_second_try_does_is_done(
    rig: Rig, first: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One call, one failure. The second request is the first one again."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    rig.answer(first, b'{"Successful": [{"Id": "0"}], "Failed": []}')
    assert list(rig.queue.delete(["handle"])) == []
    assert rig.proxy.operations() == [DELETE, DELETE]
    assert rig.proxy.calls[0].body == rig.proxy.calls[1].body
    assert (rig.told.calls, len(rig.told.failures)) == ([("sqs", DELETE)], 1)


def test_a_service_that_is_away_cannot_be_reached(client: str) -> None:
    """No connection is made."""
    told = Told()
    url = f"http://127.0.0.1:{closed_port()}"
    with aws_clients(url, observer=told) as clients:
        queue = SqsQueue.of(clients, f"{url}/000000000000/queue", 1, lean=client == "lean")
        with pytest.raises(UnavailableError, match="SQS cannot be reached"):
            queue.receive(1)
    assert told.failures == [("sqs", RECEIVE, "EndpointConnectionError")]


def test_a_call_without_credentials_is_not_sent(
    client: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error is that of the credentials, and is counted."""
    told = Told()
    with FaultProxy("") as proxy, aws_clients(proxy.url, observer=told) as clients:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        queue = SqsQueue.of(clients, f"{proxy.url}/0/queue", 1, lean=client == "lean")
        with pytest.raises(ConfigurationError, match="no credentials") as caught:
            queue.receive(1)
    assert caught.value.service == "credentials"
    assert proxy.calls == []
    assert told.calls == [("sqs", RECEIVE)]
    assert told.failures == [("sqs", RECEIVE, "NoCredentialsError")]
