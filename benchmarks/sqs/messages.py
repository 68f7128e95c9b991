"""The messages of the queue, as bytes that are ready to be sent."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

RECEIPT_BYTES: Final = 412
"""The length of a receipt handle of SQS."""

REDELIVERED_AFTER: Final = 5_000
"""A message that is delivered twice comes again after this many others."""

_NUMBER_DIGITS: Final = 20
_RECEIPT_HEAD: Final = b"AQEB" + hashlib.shake_256(b"receipt").hexdigest(193).encode()
_RECEIPT_TAIL: Final = b"=="


@dataclass(slots=True)
class StoredMessage:
    """A message. `text` is its body, digest and id, as members of JSON."""

    text: bytes
    sent_ms: int
    deliveries: int = 0


class MessageQueue:
    """Messages that can be received, and those in flight.

    A message in flight comes again only when its visibility timeout is set to 0: no benchmark waits for a timeout.
    """

    def __init__(self) -> None:
        self._visible: deque[StoredMessage] = deque()
        self._in_flight: dict[int, StoredMessage] = {}
        self._delivered = 0
        self._prefix = _RECEIPT_HEAD[: RECEIPT_BYTES - _NUMBER_DIGITS - len(_RECEIPT_TAIL)]

    @property
    def visible(self) -> int:
        """The number of messages that can be received."""
        return len(self._visible)

    @property
    def in_flight(self) -> int:
        """The number of deliveries that are not deleted."""
        return len(self._in_flight)

    def add(self, bodies: Iterable[str], sent_ms: int, redelivered_percent: int = 0) -> None:
        """Add a message for each body. The given share of them is delivered twice."""
        messages = (_stored(body, sent_ms + index) for index, body in enumerate(bodies))
        self._visible.extend(_with_second_deliveries(messages, redelivered_percent))

    def send(self, body: str, sent_ms: int) -> tuple[str, str]:
        """Add a message. Return its id, and the MD5 of its body in hexadecimal."""
        message = _stored(body, sent_ms)
        self._visible.append(message)
        fields = json.loads(b"{" + message.text + b"}")
        return fields["MessageId"], fields["MD5OfBody"]

    def receive(self, limit: int, attributes: frozenset[str]) -> Sequence[bytes]:
        """Deliver up to `limit` messages, each as an object of JSON."""
        return [self._deliver(attributes) for _ in range(min(limit, len(self._visible)))]

    def delete(self, receipt: str) -> bool:
        """Delete a delivery. Return False for a malformed receipt handle."""
        number = _number_of(receipt)
        if number is None:
            return False
        self._in_flight.pop(number, None)
        return True

    def extend(self, receipt: str, seconds: int) -> bool:
        """Set a visibility timeout: 0 gives the message back. Return False if it is not in flight."""
        number = _number_of(receipt)
        if number is None or number not in self._in_flight:
            return False
        if seconds == 0:
            self._visible.append(self._in_flight.pop(number))
        return True

    def _deliver(self, attributes: frozenset[str]) -> bytes:
        message = self._visible.popleft()
        message.deliveries += 1
        self._delivered += 1
        self._in_flight[self._delivered] = message
        return b'{%s%s,"ReceiptHandle":"%s%0*d%s"}' % (
            _attributes(message, attributes) if attributes else b"",
            message.text,
            self._prefix,
            _NUMBER_DIGITS,
            self._delivered,
            _RECEIPT_TAIL,
        )


def _stored(body: str, sent_ms: int) -> StoredMessage:
    # Not for security: SQS sends the MD5 of a body.
    digest = hashlib.md5(body.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    text = f'"Body":{json.dumps(body)},"MD5OfBody":"{digest}","MessageId":"{uuid.uuid4()}"'
    return StoredMessage(text.encode("ascii"), sent_ms)


def _with_second_deliveries(
    messages: Iterable[StoredMessage], percent: int
) -> Iterator[StoredMessage]:
    later: deque[tuple[int, StoredMessage]] = deque()
    for index, message in enumerate(messages):
        yield message
        if index % 100 < percent:
            later.append((index + REDELIVERED_AFTER, message))
        if later and later[0][0] <= index:
            yield later.popleft()[1]
    yield from (message for _, message in later)


def _attributes(message: StoredMessage, names: frozenset[str]) -> bytes:
    known = {
        "ApproximateReceiveCount": message.deliveries,
        "SentTimestamp": message.sent_ms,
    }
    shown = known if "All" in names else {name: known[name] for name in known if name in names}
    members = b",".join(b'"%s":"%d"' % (name.encode(), value) for name, value in shown.items())
    return b'"Attributes":{%s},' % members


def _number_of(receipt: str) -> int | None:
    digits = receipt[-_NUMBER_DIGITS - len(_RECEIPT_TAIL) : -len(_RECEIPT_TAIL)]
    if len(receipt) != RECEIPT_BYTES or not digits.isdecimal():
        return None
    return int(digits)
