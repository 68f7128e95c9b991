"""Messages that tests of ingest send, and their reading of its summary."""

from __future__ import annotations

from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.vault import FakeVault
from vault_etl.ingest.run import IngestSummary


def send(vault: FakeVault, count: int) -> None:
    """Put `count` good events on the queue."""
    for number in range(count):
        vault.queue.send(login_event(user_id=f"user-{number}"))


def counts(summary: IngestSummary) -> dict[str, object]:
    """Return the summary without times and without zeros."""
    timed = {"seconds", "messages_per_second"}
    return {k: v for k, v in summary.as_dict().items() if v and k not in timed}
