"""The replica that answers are read from: of this vault, and not far behind."""

from __future__ import annotations

from vault_etl.ports.replica import ReplicaFacts
from vault_etl.services.doctor import Verdict


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
