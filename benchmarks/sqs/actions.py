"""The actions of SQS's JSON protocol on one queue."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.sqs.messages import MessageQueue

VISIBILITY_S: Final = 300
MAX_MESSAGES: Final = 10
WARM: Final = 0.25
MOST: Final = 0.75
"""Shares of the deliveries that were loaded: a client is measured between their deletions."""

Request = Mapping[str, Any]
Answer = tuple[int, bytes]
"""An HTTP status, and a body of JSON."""

_OK: Final = 200
_BAD_REQUEST: Final = 400


@dataclass(slots=True)
class Statistics:
    """Counts of deliveries and calls; times in seconds of one monotonic clock."""

    received: int = 0
    lost: int = 0
    """Deliveries whose client had hung up: no client gets them until their visibility timeout is over."""
    most_in_flight: int = 0
    deleted: int = 0
    first_received: float = 0.0
    warm: float = 0.0
    most_deleted: float = 0.0
    """When `WARM` and `MOST` of the deliveries that were loaded had been deleted."""
    last_deleted: float = 0.0
    calls: dict[str, int] = field(default_factory=dict)


class Actions:
    """Answers requests. Any queue name and any URL mean the one queue."""

    def __init__(self, queue: MessageQueue, url: str) -> None:
        self.statistics = Statistics()
        self.url = url
        self._queue = queue
        self._warm = int(queue.visible * WARM)
        self._most = int(queue.visible * MOST)
        self._by_name: Mapping[str, Callable[[Request], Answer]] = {
            "ReceiveMessage": self._receive,
            "DeleteMessage": self._delete,
            "DeleteMessageBatch": self._delete_batch,
            "ChangeMessageVisibilityBatch": self._extend_batch,
            "SendMessageBatch": self._send_batch,
            "GetQueueAttributes": self._attributes,
            "GetQueueUrl": lambda _: (_OK, json.dumps({"QueueUrl": self.url}).encode()),
        }

    @property
    def is_empty(self) -> bool:
        """True if a receive would get no message now."""
        return not self._queue.visible

    @property
    def is_over(self) -> bool:
        """True if messages were deleted, and none is left: a client that polls for more need not wait."""
        return bool(self.statistics.deleted) and self.is_empty and not self._queue.in_flight

    def answer(self, name: str, body: bytes) -> Answer:
        """Answer one request, at once."""
        self.statistics.calls[name] = self.statistics.calls.get(name, 0) + 1
        action = self._by_name.get(name)
        if action is None:
            return _refused("com.amazonaws.sqs#UnsupportedOperation", f"no action {name}")
        return action(json.loads(body or b"{}"))

    def _receive(self, request: Request) -> Answer:
        limit = request.get("MaxNumberOfMessages", 1)
        if not 1 <= limit <= MAX_MESSAGES:
            return _refused("com.amazonaws.sqs#InvalidParameterValue", "MaxNumberOfMessages")
        names = frozenset(request.get("MessageSystemAttributeNames", ()))
        messages = self._queue.receive(limit, names | frozenset(request.get("AttributeNames", ())))
        if not messages:
            return _OK, b"{}"
        self.statistics.first_received = self.statistics.first_received or time.monotonic()
        self.statistics.received += len(messages)
        self.statistics.most_in_flight = max(self.statistics.most_in_flight, self._queue.in_flight)
        return _OK, b'{"Messages":[%s]}' % b",".join(messages)

    def _delete(self, request: Request) -> Answer:
        if not self._deleted(request["ReceiptHandle"]):
            return _refused("com.amazonaws.sqs#ReceiptHandleIsInvalid", "the handle is malformed")
        return _OK, b"{}"

    def _delete_batch(self, request: Request) -> Answer:
        return _batch(request, lambda entry: self._deleted(entry["ReceiptHandle"]))

    def _extend_batch(self, request: Request) -> Answer:
        return _batch(
            request,
            lambda entry: self._queue.extend(entry["ReceiptHandle"], entry["VisibilityTimeout"]),
        )

    def _send_batch(self, request: Request) -> Answer:
        sent = [
            (entry["Id"], *self._queue.send(entry["MessageBody"], int(time.time() * 1000)))
            for entry in request["Entries"]
        ]
        successful = [
            {"Id": key, "MessageId": message_id, "MD5OfMessageBody": digest}
            for key, message_id, digest in sent
        ]
        return _OK, json.dumps({"Successful": successful}).encode()

    def _attributes(self, request: Request) -> Answer:
        known = {
            "ApproximateNumberOfMessages": str(self._queue.visible),
            "ApproximateNumberOfMessagesNotVisible": str(self._queue.in_flight),
            "ApproximateNumberOfMessagesDelayed": "0",
            "VisibilityTimeout": str(VISIBILITY_S),
        }
        asked = frozenset(request.get("AttributeNames", ()))
        shown = {name: known[name] for name in known if asked & {name, "All"}}
        return _OK, json.dumps({"Attributes": shown} if shown else {}).encode()

    def _deleted(self, receipt: str) -> bool:
        if not self._queue.delete(receipt):
            return False
        statistics = self.statistics
        statistics.deleted += 1
        statistics.last_deleted = time.monotonic()
        if statistics.deleted == self._warm:
            statistics.warm = statistics.last_deleted
        elif statistics.deleted == self._most:
            statistics.most_deleted = statistics.last_deleted
        return True


def _batch(request: Request, act: Callable[[Mapping[str, Any]], bool]) -> Answer:
    successful: list[object] = []
    failed: list[object] = []
    for entry in request["Entries"]:
        if act(entry):
            successful.append({"Id": entry["Id"]})
        else:
            code = {"Code": "ReceiptHandleIsInvalid", "SenderFault": True}
            failed.append({"Id": entry["Id"], **code})
    answer = {"Successful": successful, "Failed": failed}
    return _OK, json.dumps({name: each for name, each in answer.items() if each}).encode()


def _refused(kind: str, message: str) -> Answer:
    return _BAD_REQUEST, json.dumps({"__type": kind, "message": message}).encode()
