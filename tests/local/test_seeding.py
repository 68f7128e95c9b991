"""Sending: ten messages a call, one mebibyte a call, and again only the failed ones."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from vault_etl.base.errors import DataError, UnavailableError
from vault_etl.local.provision import Credentials, EmulatorSession, Provisioned
from vault_etl.local.seeding import MAX_BYTES, send_all
from vault_etl.platform import waiting

pytestmark = pytest.mark.command


class FaultyQueue(HTTPServer):
    """A minimal SQS that fails: in each call, the bodies that have `faults` left."""

    def __init__(self, faults: dict[str, int], *, senders_fault: bool = False) -> None:
        super().__init__(("127.0.0.1", 0), _FaultyCall)
        self.faults = faults
        self.senders_fault = senders_fault
        self.calls: list[list[str]] = []
        self.taken: list[str] = []

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return SQS's answer to SendMessageBatch."""
        self.calls.append([entry["MessageBody"] for entry in request["Entries"]])
        answer: dict[str, Any] = {"Successful": [], "Failed": []}
        for entry in request["Entries"]:
            body = entry["MessageBody"]
            if self.faults.get(body, 0) > 0:
                self.faults[body] -= 1
                failed = {"Id": entry["Id"], "Code": "X", "SenderFault": self.senders_fault}
                answer["Failed"].append(failed)
            else:
                self.taken.append(body)
                sent = {"Id": entry["Id"], "MessageId": entry["Id"], "MD5OfMessageBody": ""}
                answer["Successful"].append(sent)
        return answer


class _FaultyCall(BaseHTTPRequestHandler):
    server: FaultyQueue

    def do_POST(self) -> None:
        """Answer one call."""
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        body = json.dumps(self.server.answer(request)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture(autouse=True)
def _without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "_AGAIN", waiting.Growing(0, 0))


def test_all_bodies_arrive(moto: tuple[str, Provisioned]) -> None:
    """Every body arrives unchanged, through a real queue."""
    endpoint, made = moto
    sqs = EmulatorSession(endpoint, made.credentials["admin"]).client("sqs")
    queue_url = sqs.create_queue(QueueName="seeding")["QueueUrl"]
    bodies = [f"body {number} é" for number in range(23)]
    steps: list[int] = []
    assert send_all(sqs, queue_url, bodies, steps.append) == 23
    assert steps == [10, 10, 3]
    found: list[str] = []
    while answer := sqs.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=0
    ).get("Messages"):
        found += [message["Body"] for message in answer]
    assert sorted(found) == sorted(bodies)


def test_calls_keep_within_a_mebibyte() -> None:
    """Large bodies go in smaller calls; the largest goes alone."""
    sizes = [MAX_BYTES, 400_000, 400_000, 400_000, 1]
    queue = _serve(FaultyQueue({}))
    send_all(_client(queue), queue.url, ["x" * size for size in sizes], lambda _: None)
    assert [[len(body) for body in call] for call in queue.calls] == [
        [MAX_BYTES],
        [400_000, 400_000],
        [400_000, 1],
    ]


def test_only_failed_messages_are_sent_again() -> None:
    """After a partial failure, the others are not sent twice."""
    queue = _serve(FaultyQueue({"b": 2, "d": 1}))
    assert send_all(_client(queue), queue.url, list("abcd"), lambda _: None) == 4
    assert queue.calls == [["a", "b", "c", "d"], ["b", "d"], ["b"]]
    assert sorted(queue.taken) == list("abcd")


def test_sending_gives_up() -> None:
    """A queue that keeps failing is exit 69, after a bounded number of calls."""
    queue = _serve(FaultyQueue({"b": 100}))
    with pytest.raises(UnavailableError, match="kept failing for 1 messages"):
        send_all(_client(queue), queue.url, list("abc"), lambda _: None)
    assert len(queue.calls) == 6


def test_the_senders_fault_is_final() -> None:
    """A body that SQS refuses is named by its number, and not tried again."""
    queue = _serve(FaultyQueue({"secret": 1}, senders_fault=True))
    with pytest.raises(DataError, match="body 2") as caught:
        send_all(_client(queue), queue.url, ["a", "secret"], lambda _: None)
    assert "secret" not in str(caught.value)
    assert len(queue.calls) == 1


@pytest.mark.parametrize("body", ["", "x" * (MAX_BYTES + 1), "\ud800"])
def test_bodies_that_no_queue_accepts(body: str) -> None:
    """Empty, too large, or no text: refused by number, before any call."""
    queue = _serve(FaultyQueue({}))
    with pytest.raises(DataError, match="body 2"):
        send_all(_client(queue), queue.url, ["a", body], lambda _: None)
    assert not queue.calls


def _client(queue: FaultyQueue) -> Any:  # noqa: ANN401  # boto3's
    return EmulatorSession(queue.url, Credentials("a", "b")).client("sqs")


def _serve(queue: FaultyQueue) -> FaultyQueue:
    threading.Thread(target=queue.serve_forever, daemon=True).start()
    return queue
