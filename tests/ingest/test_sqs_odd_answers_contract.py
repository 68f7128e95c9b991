"""An answer that SQS does not give is an outage with both clients, or is read so that no message is lost."""

from __future__ import annotations

import json
import traceback
from typing import Any

import pytest

from tests.kit.aws_clients import SQS_CLIENTS, aws_clients
from tests.kit.call_observer import Told
from tests.kit.scripted_server import Closing, ScriptedServer, ok
from tests.kit.sqs_answers import CANARY, answer, message
from vault_etl.base.errors import UnavailableError
from vault_etl.ingest.sources.sqs import SqsQueue

HANDLES = ["first", "second", "third"]
OK = b"HTTP/1.1 200 OK\r\n"


def queue(server: ScriptedServer, client: str = "lean", told: Told | None = None) -> SqsQueue:
    """The queue on a server that gives the answers of a test."""
    with aws_clients(server.url, observer=told) as clients:
        return SqsQueue.of(clients, f"{server.url}/0/queue", 1, lean=client == "lean")


def parts(**changed: Any) -> bytes:  # noqa: ANN401 - of JSON
    """An answer with one message, whose parts are changed."""
    return ok(answer(message(CANARY, **changed)))


ODD = {
    "empty": ok(b""),
    "cut at once": Closing(OK + b"\r\n"),
    "no length, and cut": Closing(OK + b'\r\n{"Messages": ['),
    "a list": ok(b"[]"),
    "deep": ok(b"[" * 200_000),
    "deep error": b"HTTP/1.1 400 x\r\nContent-Length: 200000\r\n\r\n" + b"[" * 200_000,
    "an error that is a list": b"HTTP/1.1 400 x\r\nContent-Length: 2\r\n\r\n[]",
    "an error whose code is a number": b'HTTP/1.1 400 x\r\nContent-Length: 12\r\n\r\n{"__type":5}',
    "an error whose code is anything": b'HTTP/1.1 400 x\r\nContent-Length: 27\r\n\r\n{"__type":"203.0.113.77 x"}',
    "an error whose code is an object": b'HTTP/1.1 500 x\r\nContent-Length: 13\r\n\r\n{"__type":{}}',
    "a huge length": OK + b"Content-Length: 1000000000000000000000000000000\r\n\r\n{}",
    "a huge chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffffffff\r\n{}",
    "no content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "messages are null": ok(b'{"Messages": null}'),
    "messages are a text": ok(b'{"Messages": "abc"}'),
    "no body": ok(b'{"Messages": [{"MessageId": "id"}]}'),
    "a body that is a number": parts(Body=5),
    "attributes are null": parts(Attributes=None),
    "a time that is a text": parts(Attributes={"SentTimestamp": CANARY}),
    "a time before 1970": parts(Attributes={"SentTimestamp": "-1"}),
    "a time without an end": ok(answer(message("x", Attributes={"SentTimestamp": float("inf")}))),
    "an id that is a number": parts(MessageId=5),
    "an id that is not ASCII": parts(MessageId="\u00e9"),
    "a handle that is null": parts(ReceiptHandle=None),
}  # fmt: skip


READ_BY_BOTOCORE = {
    "empty",
    "cut at once",
    "a huge length",
    "no content",
    "no length, and cut",
    "messages are null",
    "attributes are null",
}
"""botocore takes these for answers without messages; the last for one without attributes, which has its own error."""


@pytest.mark.parametrize("name", ODD)
def test_an_answer_to_a_receive_that_sqs_does_not_give_is_an_outage(name: str) -> None:
    """It is not “no messages”, and not a bug. The error quotes nothing of it."""
    with ScriptedServer([ODD[name]]) as server, pytest.raises(UnavailableError) as caught:
        queue(server).receive(0)
    assert CANARY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("name", [name for name in ODD if name not in READ_BY_BOTOCORE])
def test_an_odd_answer_to_botocore_is_no_bug(name: str) -> None:
    """It reads some as no messages. For others its parser raises errors of Python."""
    with ScriptedServer([ODD[name]]) as server, pytest.raises(UnavailableError):
        queue(server, "botocore").receive(0)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"Failed": null}', b'{"Failed": [{}]}'])
def test_an_answer_to_a_delete_that_sqs_does_not_give_is_an_outage(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No message counts as deleted."""
    monkeypatch.setattr("time.sleep", lambda _: None)
    with ScriptedServer([ok(body)] * 3) as server, pytest.raises(UnavailableError):
        queue(server).delete(HANDLES)


@pytest.mark.parametrize("client", SQS_CLIENTS)
@pytest.mark.parametrize(
    ("done", "failed", "left"),
    [
        ([], [], HANDLES),
        (["0"], [], ["second", "third"]),
        (["0", "1", "2"], ["1"], ["second"]),
        (["0", "2"], ["7", "-1"], ["second"]),
    ],
)
def test_only_what_an_answer_names_as_done_is_done(
    client: str, done: list[str], failed: list[str], left: list[str]
) -> None:
    """A message that is in neither list, or in both, is not deleted, and not extended."""
    body = json.dumps(
        {
            "Successful": [{"Id": entry} for entry in done],
            "Failed": [
                {"Id": entry, "Code": "InternalError", "SenderFault": False} for entry in failed
            ],
        }
    ).encode()
    with ScriptedServer([ok(body)] * 2) as server:
        made = queue(server, client)
        assert list(made.delete(HANDLES)) == left
        with pytest.raises(UnavailableError, match=f"did not extend {len(left)} of 3"):
            made.extend(dict.fromkeys(HANDLES, 30))


@pytest.mark.parametrize("client", SQS_CLIENTS)
def test_a_body_that_did_not_arrive_whole_does_not_hide_the_others(
    client: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """It stays on the queue, and is counted and logged without its content."""
    told = Told()
    body = answer(message("whole"), message(CANARY, MD5OfBody="0" * 32))
    with ScriptedServer([ok(body)]) as server:
        (received,) = queue(server, client, told).receive(0)
    assert received.body.expose() == b"whole"
    assert told.failures == [("sqs", "ReceiveMessage", "ChecksumError")]
    log = capsys.readouterr().err
    assert "bodies not whole" in log
    assert CANARY not in log
