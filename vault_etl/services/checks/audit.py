"""The audit log: its head is signed, so that what is older cannot be rewritten unseen."""

from __future__ import annotations

import datetime as dt
from typing import Final

from vault_etl.ports.doctor import SignedState, TurnHolder
from vault_etl.services.doctor import Verdict

MAX_UNSIGNED: Final = dt.timedelta(days=1)
"""How long an entry may be without a checkpoint after it."""

MAX_HELD_S: Final = 2.0
"""A session holds the turn from an entry to its COMMIT: milliseconds."""

_HINT: Final = "`vault-etl audit checkpoint` with the role audit, on a timer"


def turn(facts: TurnHolder) -> Verdict:
    """No session keeps the others from writing, and one that did would be ended."""
    found = facts.turn()
    holder = found.holder
    if holder is not None and holder.seconds > MAX_HELD_S:
        return Verdict.bad(
            f"held by {holder.login} (pid {holder.pid}) for up to {holder.seconds:.0f} s",
            "who waits for it ends that session, unless it is a superuser's:"
            f" SELECT pg_terminate_backend({holder.pid})",
        )
    if not found.may_end:
        return Verdict.bad(
            "a session that holds the end of the log could stop every audited command",
            "GRANT pg_signal_backend, pg_read_all_stats TO vault_etl_owner WITH INHERIT TRUE,"
            " as a superuser",
        )
    return Verdict.good("no session keeps others from writing")


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
