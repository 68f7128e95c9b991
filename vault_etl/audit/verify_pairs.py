"""Pair outcomes with their intents. The database sees to it that they match; an older log may not."""

from __future__ import annotations

from typing import Final

from vault_etl.audit.chain import LoggedEntry
from vault_etl.audit.entries import Decision, Phase
from vault_etl.audit.verify_problems import MAX_LISTED, Problems

MAX_OPEN: Final = 20_000
"""Intents that wait for their outcomes. Those that are older count as unfinished, so that memory is bounded."""


class Pairs:
    """Is told of every entry in turn. `unfinished_count` are intents without an outcome.

    Where the log is not `whole`, an outcome's intent may be before what is read.
    """

    def __init__(self, problems: Problems, *, whole: bool) -> None:
        self._problems = problems
        self._whole = whole
        self._open: dict[str | None, tuple[int, object, bool]] = {}
        self._given_up: list[int] = []
        self._given_up_count = 0

    @property
    def unfinished_count(self) -> int:
        """How many allowed intents have no outcome."""
        return self._given_up_count + sum(not passed for *_, passed in self._open.values())

    def unfinished(self) -> list[int]:
        """The first 1,000 of them."""
        still = sorted(seq for seq, _, passed in self._open.values() if not passed)
        return (self._given_up + still)[:MAX_LISTED]

    def judge(self, entry: LoggedEntry, *, passed: bool = False) -> None:
        """Take an intent, or the outcome of one. The outcome of a `passed` intent may be where nothing is read."""
        if entry.phase == Phase.OUTCOME:
            self._conclude(entry)
        elif entry.phase == Phase.INTENT and entry.decision == Decision.ALLOWED:
            self._open[entry.request_id] = (entry.seq, _about(entry), passed)
            if len(self._open) > MAX_OPEN:
                oldest, _, is_passed = self._open.pop(next(iter(self._open)))
                self._whole = False
                self._given_up_count += not is_passed
                if len(self._given_up) < MAX_LISTED and not is_passed:
                    self._given_up.append(oldest)

    def _conclude(self, outcome: LoggedEntry) -> None:
        intent = self._open.pop(outcome.request_id, None)
        if self._problems.any_tampered:
            return  # an intent that is missing or changed says enough
        if intent is None:
            if self._whole:
                self._problems.rubbish(outcome.seq, f"has no intent before it, by {outcome.login}")
        elif intent[1] != _about(outcome):
            what = f"is the outcome of something else than its intent, entry {intent[0]}"
            self._problems.rubbish(outcome.seq, f"{what}, by {outcome.login}")


def _about(entry: LoggedEntry) -> tuple[object, ...]:
    """What an outcome has in common with its intent: fields 4 and 6 to 12 of the entry."""
    return (entry.login, *entry[6:13])
