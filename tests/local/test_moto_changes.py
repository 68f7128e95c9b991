"""moto's queue loses no message when its threads switch at a bad moment."""

from __future__ import annotations

import threading

import pytest
from moto.sqs.models import Message, Queue, SQSBackend

from vault_etl.local.moto_changes import delete_one_at_a_time

SOON_S = 0.2


def test_two_deletions_at_once_lose_nothing_and_bring_nothing_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other thread deletes and sends while the first one is about to replace the list of messages."""
    monkeypatch.setattr(Queue, "delete_message", Queue.delete_message)  # to have it back
    delete_one_at_a_time()
    backend = SQSBackend("us-east-1", "123456789012")
    queue = backend.create_queue("queue", {})
    for body in ("1", "2", "3"):
        backend.send_message("queue", body)
    first, second, last = backend.receive_message("queue", 10, 0, 600)
    handles = str(first.receipt_handle), str(second.receipt_handle)

    def change() -> None:
        backend.delete_message("queue", handles[1])
        backend.send_message("queue", "new")

    other = threading.Thread(target=change)
    had = Message.had_receipt_handle

    def switch(message: Message, handle: str) -> bool:
        if message.id == last.id and handle == handles[0]:
            other.start()
            other.join(SOON_S)
        return had(message, handle)

    monkeypatch.setattr(Message, "had_receipt_handle", switch)
    backend.delete_message("queue", handles[0])
    other.join()
    assert [message.body for message in queue._messages] == ["3", "new"]
