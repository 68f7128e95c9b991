"""Loads of lines by the real command, and their counts."""

from __future__ import annotations

from typing import Any

from tests.kit.vault import Vault

NO_QUEUE = {"VAULT_ETL_QUEUE_URL": None}


def loaded(vault: Vault, *args: str, stdin: str | None = None) -> tuple[int, int, int, int]:
    """Load lines and return the counts. The command needs no queue."""
    done = vault.ok("ingest", "ingest", *args, "--output", "json", extra=NO_QUEUE, stdin=stdin)
    assert done.json["received"] == done.json["deleted"] == sum(outcome(done.json))
    assert (done.json["given_back"], done.json["left_in_flight"]) == (0, 0)
    return outcome(done.json)


def outcome(summary: dict[str, Any]) -> tuple[int, int, int, int]:
    """Return the numbers of stored, duplicate, quarantined and already quarantined lines."""
    names = ("stored", "duplicates", "quarantined", "already_quarantined")
    stored, duplicates, quarantined, already = (summary[name] for name in names)
    return stored, duplicates, quarantined, already
