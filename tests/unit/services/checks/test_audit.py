"""An entry of the log is signed within a day."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pytest

from vault_etl.ports.doctor import Unsigned
from vault_etl.services.checks import audit

DAY = dt.timedelta(days=1)
MOMENT = dt.timedelta(seconds=1)


@dataclass
class State:
    """`SignedState` as a test says."""

    found: Unsigned

    def unsigned(self) -> Unsigned:
        """See `SignedState.unsigned`."""
        return self.found


@pytest.mark.parametrize(
    ("found", "ok"),
    [
        (Unsigned(key_registered=True, entries=0, oldest=None), True),
        (Unsigned(key_registered=True, entries=2, oldest=DAY), True),
        (Unsigned(key_registered=True, entries=2, oldest=DAY + MOMENT), False),
        (Unsigned(key_registered=False, entries=0, oldest=None), True),
        (Unsigned(key_registered=False, entries=2, oldest=DAY), True),
        (Unsigned(key_registered=False, entries=2, oldest=DAY + MOMENT), False),
    ],
)
def test_entries_may_wait_for_a_day(found: Unsigned, ok: bool) -> None:
    """A log that nobody signs is a fault a day after its first entry, not before."""
    verdict = audit.signed(State(found))
    assert verdict.ok is ok
    assert bool(verdict.hint) is not ok
    said = verdict.detail + str(verdict.hint)
    assert ("audit checkpoint" in said) == (not ok or not found.key_registered)
