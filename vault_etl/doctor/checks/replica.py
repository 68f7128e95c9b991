"""The replica that answers are read from, and what others hold back on the primary."""

from __future__ import annotations

from typing import Final

from vault_etl.doctor.doctor import Verdict
from vault_etl.doctor.views import SlotFacts
from vault_etl.platform.replica import ReplicaFacts

MAX_HELD_BYTES: Final = 2**30
"""Of WAL, for a consumer that is away: it grows until the disk is full, or until the slot is lost."""


def replica(facts: ReplicaFacts) -> Verdict:
    """It may be read. What is wrong with it is raised."""
    found = facts.check()
    values = {"server": found.server, "behind_seconds": found.behind_s}
    if not found.is_replica:
        return Verdict.good(f"{found.server} is the primary itself", **values)
    lag = "does not say how far it is behind"
    if found.behind_s is not None:
        lag = "has all that is committed"
        if found.behind_s:
            lag = f"is {found.behind_s:.0f} s behind at most"
    limits = f"cancels looks that keep it back for {found.cancels_after}"
    if found.has_feedback:
        limits = "has the primary keep old rows for its looks"
    return Verdict.good(f"{found.server} {lag}; it {limits}", **values)


def slots(facts: SlotFacts) -> Verdict:
    """No consumer that is away has the server keep much WAL, and none has lost what it needs."""
    found = facts.slots()
    told = [
        f"{each.name} holds back {each.held_bytes / 2**20:,.0f} MiB of WAL"
        f"{'' if each.active else ', and is not connected'}"
        for each in found
    ]
    at_fault = [
        text
        for each, text in zip(found, told, strict=True)
        if each.wal_status in {"unreserved", "lost"}
        or (each.held_bytes > MAX_HELD_BYTES and not each.active)
    ]
    if at_fault:
        return Verdict.bad(
            "; ".join(at_fault),
            "connect its consumer, or drop the slot: pg_drop_replication_slot, as a superuser;"
            " set max_slot_wal_keep_size",
        )
    return Verdict.good("; ".join(told) or "there are none")
