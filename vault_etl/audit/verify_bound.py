"""Judge what entries have set: reveal policies, registrations of keys that sign, and keys."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Final

from vault_etl.audit.chain import LoggedEntry
from vault_etl.audit.entries import Action, Decision, Phase
from vault_etl.audit.proof import BoundRow
from vault_etl.audit.registration import Registration
from vault_etl.audit.signing_key import AuditKey
from vault_etl.audit.verify_problems import Problems

BOUND: Final = frozenset(
    {
        Action.POLICY_SET,
        Action.KEY_REGISTER,
        Action.KEYS_CHANGE,
        Action.KEYS_CUT_OVER,
        Action.AUDIT_TRIM,
    }
)
"""Actions whose entry and row are made in one transaction, by functions of the owner's."""


def sets(entry: LoggedEntry) -> bool:
    """Whether it has set something. A login may write a denied one, which has not."""
    return (
        entry.action in BOUND and entry.phase == Phase.INTENT and entry.decision == Decision.ALLOWED
    )


class BoundJudge:
    """Is told of every entry in turn, and compares it with the row that it set, if it set one."""

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
        """Compare it with the rows under its number, and name those that no entry set."""
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
        """Name the rows behind the end of the log."""
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
            self._problems.rubbish(entry.seq, f"registered a key that did not sign it, {by}")
        elif found.key.spki not in self._keys:
            what = f"registered a key that was not given, {by}: {found.kms_key_arn}"
            self._problems.rubbish(entry.seq, what)

    def _changed(self, entry: LoggedEntry) -> None:
        self._problems.tampered(entry.seq, f"set something ({entry.action}) that was changed since")

    def _orphan(self, row: BoundRow) -> None:
        what = f"set no policy and no key, and one ({row.action}) stands under its number"
        self._problems.tampered(row.seq, what)
