"""Messages that keep arriving while everything breaks, and what must become of each."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.endurance.chaos.site import Site
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.event.events import EventParser
from vault_etl.event.made_up_events import made_up_messages
from vault_etl.event.parsed_event import ParsedEvent

CALL = 10
NUDGE = 20


@dataclass(frozen=True, slots=True)
class Sent:
    """A message, and its event. `tail` is what of its record id does not tell the time."""

    tail: str
    body: str
    event: ParsedEvent | None


class Traffic:
    """Sends made-up events, `per_second` at most, never more of them than was allowed so far."""

    def __init__(self, site: Site, count: int, seed: int, per_second: float) -> None:
        self.bodies = list(made_up_messages(site.declaration, count, seed=seed))
        self.sent: list[Sent] = []
        self._parser = EventParser(site.declaration)
        self._site = site
        self._pause = CALL / per_second
        self._allowed = 0
        self._ended = False
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def allow(self, share: float) -> None:
        """Allow so much of all to be out from now on."""
        with self._changed:
            self._allowed = max(self._allowed, round(share * len(self.bodies)))
            self._changed.notify_all()

    def nudge(self) -> None:
        """A few more than was allowed, since nothing is left to be in flight."""
        with self._changed:
            self._allowed = min(len(self.bodies), max(self._allowed, len(self.sent)) + NUDGE)
            self._changed.notify_all()

    def finish(self, seconds: float) -> None:
        """Send the rest."""
        self.allow(1)
        self._thread.join(seconds)
        assert self._failure is None
        assert len(self.sent) == len(self.bodies)

    def end(self) -> None:
        """Send no more, whatever was allowed."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            for first in range(0, len(self.bodies), CALL):
                with self._changed:
                    self._changed.wait_for(
                        lambda: self._ended or self._allowed >= len(self.sent) + CALL
                    )
                    if self._ended:
                        return
                self._send(self.bodies[first : first + CALL])
                time.sleep(self._pause)
        except BaseException as error:
            self._failure = error
            raise

    def _send(self, ten: Sequence[str]) -> None:
        answer = self._site.sqs.send_message_batch(
            QueueUrl=self._site.vault.provisioned.queue_url,
            Entries=[{"Id": str(i), "MessageBody": body} for i, body in enumerate(ten)],
        )
        assert not answer.get("Failed")
        ids = {int(entry["Id"]): entry["MessageId"] for entry in answer["Successful"]}
        for i, body in enumerate(ten):
            content = self._parser.parse(body.encode())
            event = content if isinstance(content, ParsedEvent) else None
            self.sent.append(Sent(tail_of(ids[i]), body, event))


def tail_of(message_id: str) -> str:
    """The part of the record id that is of the message id alone: all but the six bytes of the time."""
    return record_id_of_message(message_id, 0).hex[12:]
