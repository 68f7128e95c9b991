"""The state that an outage must leave as it was, whatever is away: the same story for every fault."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager

from tests.endurance.outages.following import POLL_S, Following
from tests.kit.events import events

MESSAGES = 12
STILL_S = 1.0
"""How long nothing is seen to be received."""


def survives(run: Following, fault: AbstractContextManager[object], word: str) -> None:
    """Messages that come during the fault are received once, stored once, and deleted after that.

    What is away is not SQS: no long poll is begun while it is. The run goes on by itself, and ends
    with exit 0.
    """
    run.until_ready()
    settled = run.rows()
    with fault:
        run.vault.send(events(MESSAGES))
        run.until_away(word)
        receives_no_more(run)
        deletes = run.calls("DeleteMessageBatch")
    run.until_ready()
    run.until_settled(settled + MESSAGES)
    assert run.calls("DeleteMessageBatch") > deletes
    everything_once(run, settled + MESSAGES)


def receives_no_more(run: Following) -> None:
    """Assert that no long poll begins once the long polls under way have returned."""
    time.sleep(POLL_S + 0.5)
    polls, deletes = run.calls("ReceiveMessage"), run.calls("DeleteMessageBatch")
    time.sleep(STILL_S)
    assert run.calls("ReceiveMessage") == polls
    assert run.calls("DeleteMessageBatch") == deletes


def everything_once(run: Following, messages: int) -> None:
    """SIGTERM: exit 0, and every message was received, stored and deleted once."""
    summary = run.stop()
    counts = (summary["received"], summary["stored"], summary["deleted"])
    assert counts == (messages, messages, messages), summary
    assert run.most_receives() == 1
    assert run.vault.depth() == (0, 0, 0)
