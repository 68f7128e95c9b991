"""The main job through the real command: seed, ingest, duplicates, reveal, rotate."""

from __future__ import annotations

from tests.vault import Vault, sample_events


def test_the_samples_are_stored_or_quarantined_and_the_queue_is_empty(vault: Vault) -> None:
    """99 of the 100 sample events are stored, one is quarantined, and nothing is left in the queue."""
    vault.send(sample_events())
    summary = vault.ok("ingest", "ingest").json
    assert summary["stored"] == 99
    assert summary["quarantined"] == 1
    assert summary["deleted"] == 100
    assert vault.depth() == (0, 0, 0)
