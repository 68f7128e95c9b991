"""Judge entries one by one: whether the things they set still agree, and whether outcomes match intents."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from vault_etl.audit.chain import BoundRow, LoggedEntry
from vault_etl.audit.checkpoint import AuditKey, Registration
from vault_etl.audit.entries import Action, Decision, Phase
from vault_etl.audit.proof import MAX_LISTED, Problems

BOUND: Final = frozenset(
    {
        Action.POLICY_SET,
        Action.SCHEMA_APPLY,
        Action.KEY_REGISTER,
        Action.KEYS_CHANGE,
        Action.KEYS_CUT_OVER,
        Action.AUDIT_TRIM,
    }
)
"""Actions whose entry and row are made in one transaction, by functions of the owner."""


def sets(entry: LoggedEntry) -> bool:
    """Say whether the entry has set something. A login may write a denied entry, which has not."""
    return (
        entry.action in BOUND and entry.phase == Phase.INTENT and entry.decision == Decision.ALLOWED
    )


class BoundJudge:
    """Receives every entry in turn, and compares it with the row that it set, if it set one."""

    def __init__(
        self,
        vault_id: uuid.UUID | None,
        keys: Sequence[AuditKey],
        rows: Iterator[BoundRow],
        problems: Problems,
    ) -> None:
        self._vault_id = vault_id
        self._keys = {key.spki for key in keys}
        self._rows = rows
        self._problems = problems
        self._next = next(rows, None)

    def judge(self, entry: LoggedEntry) -> None:
        """Compare the entry with the rows under its number, and report those that no entry set."""
        set_by = entry.action if sets(entry) else None
        while (row := self._next) is not None and row.seq <= entry.seq:
            self._next = next(self._rows, None)
            if row.seq != entry.seq or row.action != set_by:
                self._orphan(row)
                continue
            set_by = None
            if row.digest != entry.ticket:
                self._changed(entry)
            elif row.action == Action.KEY_REGISTER:
                self._judge_registration(entry, row.note or "")
        if set_by is not None:
            self._changed(entry)

    def behind(self) -> None:
        """Report the rows behind the end of the log."""
        while self._next is not None:
            self._orphan(self._next)
            self._next = next(self._rows, None)

    def _judge_registration(self, entry: LoggedEntry, note: str) -> None:
        try:
            found = Registration.parse(note)
        except ValueError:
            found = None
        by = f"by {entry.login}"
        if found is None or (self._vault_id is not None and not found.holds(self._vault_id)):
            self._problems.noise(entry.seq, f"registered a key that did not sign it, {by}")
        elif found.key.spki not in self._keys:
            what = f"registered a key that was not given, {by}: {found.kms_key_arn}"
            self._problems.noise(entry.seq, what)

    def _changed(self, entry: LoggedEntry) -> None:
        self._problems.tampered(entry.seq, f"set something ({entry.action}) that was changed since")

    def _orphan(self, row: BoundRow) -> None:
        what = f"set nothing, but a row ({row.action}) is stored under the number of this entry"
        self._problems.tampered(row.seq, what)


MAX_OPEN: Final = 20_000
"""Intents that wait for their outcomes. Older ones count as unfinished, so that memory is bounded."""


class Pairs:
    """Pairs outcomes with their intents. The database makes them match; an older log may not.

    It receives every entry in turn. `unfinished_count` counts intents without an outcome. Where the log
    is not `whole`, an outcome's intent may come before the part that is read.
    """

    def __init__(self, problems: Problems, *, whole: bool) -> None:
        self._problems = problems
        self._whole = whole
        self._open: dict[str | None, tuple[int, object, bool]] = {}
        self._given_up: list[int] = []
        self._given_up_count = 0

    @property
    def unfinished_count(self) -> int:
        """The number of allowed intents that have no outcome."""
        return self._given_up_count + sum(not passed for *_, passed in self._open.values())

    def unfinished(self) -> list[int]:
        """Return the seqs of the first 1,000 unfinished intents."""
        still = sorted(seq for seq, _, passed in self._open.values() if not passed)
        return (self._given_up + still)[:MAX_LISTED]

    def judge(self, entry: LoggedEntry, *, passed: bool = False) -> None:
        """Take an intent or an outcome. The outcome of a `passed` intent may be in a part that is not read."""
        if entry.phase == Phase.OUTCOME:
            self._conclude(entry)
        elif entry.phase == Phase.INTENT and entry.decision == Decision.ALLOWED:
            self._open[entry.request_id] = (entry.seq, _subject_of(entry), passed)
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
                self._problems.noise(outcome.seq, f"has no intent before it, by {outcome.login}")
        elif intent[1] != _subject_of(outcome):
            what = f"is the outcome of something else than its intent, entry {intent[0]}"
            self._problems.noise(outcome.seq, f"{what}, by {outcome.login}")


def _subject_of(entry: LoggedEntry) -> tuple[object, ...]:
    """Return the part that an outcome shares with its intent: fields 4 and 6 to 12 of the entry."""
    return (entry.login, *entry[6:13])
