"""Pair outcomes with their intents. The database sees to it that they match; an older log may not."""

from __future__ import annotations

from typing import Final

from vault_etl.core.audit import Decision, Phase
from vault_etl.core.audit_chain import LoggedEntry
from vault_etl.services.verify_problems import MAX_LISTED, Problems

MAX_OPEN: Final = 20_000
"""Intents that wait for their outcomes. Those that are older count as unfinished, so that memory is bounded."""


class Pairs:
    """Is told of every entry in turn. `unfinished_count` are intents without an outcome."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._open: dict[str | None, tuple[int, object]] = {}
        self._given_up: list[int] = []
        self._given_up_count = 0

    @property
    def unfinished_count(self) -> int:
        """How many allowed intents have no outcome."""
        return self._given_up_count + len(self._open)

    def unfinished(self) -> list[int]:
        """The first 1,000 of them."""
        still = sorted(seq for seq, _ in self._open.values())
        return (self._given_up + still)[:MAX_LISTED]

    def judge(self, entry: LoggedEntry) -> None:
        """Take an intent, or the outcome of one."""
        if entry.phase == Phase.OUTCOME:
            self._conclude(entry)
        elif entry.phase == Phase.INTENT and entry.decision == Decision.ALLOWED:
            self._open[entry.request_id] = (entry.seq, _about(entry))
            if len(self._open) > MAX_OPEN:
                oldest, _ = self._open.pop(next(iter(self._open)))
                self._given_up_count += 1
                if len(self._given_up) < MAX_LISTED:
                    self._given_up.append(oldest)

    def _conclude(self, outcome: LoggedEntry) -> None:
        intent = self._open.pop(outcome.request_id, None)
        if self._problems.any_tampered:
            return  # an intent that is missing or changed says enough
        if intent is None:
            if not self._given_up_count:
                self._problems.rubbish(outcome.seq, f"has no intent before it, by {outcome.login}")
        elif intent[1] != _about(outcome):
            what = f"is the outcome of something else than its intent, entry {intent[0]}"
            self._problems.rubbish(outcome.seq, f"{what}, by {outcome.login}")


def _about(entry: LoggedEntry) -> tuple[object, ...]:
    """What an outcome has in common with its intent: fields 4 and 6 to 12 of the entry."""
    return (entry.login, *entry[6:13])
