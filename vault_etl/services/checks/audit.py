"""The audit log: its head is signed, so that what is older cannot be rewritten unseen."""

from __future__ import annotations

import datetime as dt
from typing import Final

from vault_etl.ports.doctor import SignedState
from vault_etl.services.doctor import Verdict

MAX_UNSIGNED: Final = dt.timedelta(days=1)
"""How long an entry may be without a checkpoint after it."""

_HINT: Final = "`vault-etl audit checkpoint` with the role audit, on a timer"


def signed(state: SignedState) -> Verdict:
    """No entry has been waiting for a checkpoint for more than a day."""
    found = state.unsigned()
    if found.oldest is not None and found.oldest > MAX_UNSIGNED:
        detail = f"{found.entries} entries are not signed, the oldest for {found.oldest.days} days"
        return Verdict.bad(detail, _HINT)
    if not found.key_registered:
        return Verdict.good(
            "no key is registered to sign it yet: `vault-etl audit checkpoint` does that"
        )
    if found.entries:
        return Verdict.good(f"{found.entries} entries since the last checkpoint")
    return Verdict.good("signed to its head")
