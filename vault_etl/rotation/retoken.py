"""Give the rows of a detached month tokens of the active generation, so that the month can be attached."""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest, one_line
from vault_etl.audit.log import AuditLog, Identity, audit_request, audited
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import ConfigurationError, DataError
from vault_etl.crypto.fields import EventName, FieldName, KeyPurpose
from vault_etl.keys.ring import KeyReader
from vault_etl.keys.value_keys import naming
from vault_etl.platform.clock import Pace, Progress
from vault_etl.rotation.compare_tokens import MAX_NAMED
from vault_etl.rotation.data_keys import ranges_of
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import NextTokenMaker
from vault_etl.rotation.ranges import OpenRotation
from vault_etl.rotation.retoken_pages import (
    DetachedTokens,
    LeaveOutChoice,
    RetokenPages,
    changed_meanwhile,
)
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import RangeWorker, RangeWorkers


@dataclass(frozen=True, slots=True)
class DetachedMonth:
    """A month of an event whose table is detached: record ids from `first` up to but not `until`."""

    event: EventName
    name: str
    first: uuid.UUID
    until: uuid.UUID


class DetachedMonths(Protocol):
    """Counts the tokens of a detached month, and begins and ends the work on them."""

    def generations(self, month: DetachedMonth) -> Mapping[int, int]:
        """Count the rows with tokens of each generation. Reads every row.

        Raises ConfigurationError if the month is not detached any more.
        """

    def begin(
        self, request: AuditRequest, month: DetachedMonth, ranges: int, *, again: bool
    ) -> OpenRotation:
        """Cut the month into that many ranges, or continue what an earlier run began.

        Ranges that are done are opened again if all of them are done, or if `again`.
        """

    def end(self, rotation_id: uuid.UUID) -> None:
        """End the work. Changes nothing if another process has ended it."""


@dataclass(frozen=True, slots=True)
class RetokenPlan:
    """The rows of a month whose tokens are not of the active generation, counted by their generation."""

    month: DetachedMonth
    active: int
    rows: Mapping[int, int]

    @property
    def total(self) -> int:
        """The number of these rows."""
        return sum(self.rows.values())


@dataclass(frozen=True, slots=True)
class RetokenReport:
    """The rows that this process gave new tokens, and those of all rows that were left without tokens."""

    generation: int
    rows: int
    left_out: int


def plan_retoken(
    months: DetachedMonths, keys: KeyReader, month: DetachedMonth, fields: Sequence[FieldName]
) -> RetokenPlan:
    """Count the rows that `MonthRetoken` would change now, and change nothing. Reads every row of the month.

    Raises ConfigurationError without an active generation, while another one is pending, and if a
    generation of the month was destroyed: its tokens cannot be compared any more.
    """
    stored = keys.token_keys()
    generations = sorted({key.generation or 0 for key in stored})
    if not generations:
        raise ConfigurationError("there are no token keys yet", hint="run `vault-etl keys init`")
    if len(generations) > 1:
        message = (
            "a rotation of the token keys is under way, which would make these tokens old again"
        )
        raise ConfigurationError(message, hint="finish or abort it first")
    (active,) = generations
    rows = {
        generation: count
        for generation, count in sorted(months.generations(month).items())
        if generation != active
    }
    known = {key.generation for field in fields for key in keys.field_token_keys(field)}
    if gone := [generation for generation in rows if generation not in known]:
        message = (
            f"generation {', '.join(map(str, gone))} of the token keys was destroyed:"
            f" its tokens in {month.name} cannot be compared with what the rows hold"
        )
        raise ConfigurationError(message, hint="load the month from its source again")
    return RetokenPlan(month, active, rows)


class MonthRetoken:
    """Opens every row of a detached month whose tokens are old: resumable, and safe to run twice at once."""

    def __init__(
        self,
        *,
        audit: AuditLog,
        identity: Identity,
        months: DetachedMonths,
        workers: Sequence[RangeWorker[DetachedTokens]],
        keys: WorkerKeys,
        pace: Pace,
        progress: Progress,
    ) -> None:
        self._audit = audit
        self._identity = identity
        self._months = months
        self._workers = workers
        self._keys = keys
        self._pace = pace
        self._progress = progress

    def __call__(
        self, request: AuditRequest, plan: RetokenPlan, leave_out: Sequence[LeaveOut] = ()
    ) -> RetokenReport:
        """Give every row of the month new tokens, except for rows that do not open to their own tokens.

        Of these, the rows that `leave_out` names get no tokens; each name is an entry of its own in the log.
        Raises DataError, naming records and keys, if others are left; they stay as they were. Raises
        ConfigurationError if new keys get a KMS key that is not trusted; IncompleteError if the active
        generation changes during the run; AuditError, KeyUnavailableError, UnavailableError. Committed
        pages stay done.
        """
        with audited(self._audit, request) as receipt:
            self._keys.must_trust(KeyPurpose.DATA, KeyPurpose.TOKEN)
            works, generation = self._go_through(receipt, plan, leave_out)
            self._must_be_done(plan, generation, [i for work in works for i in work.failed])
        return RetokenReport(
            generation,
            sum(work.done for work in works),
            sum(work.left_out.total() for work in works),
        )

    def _go_through(
        self, run: AuditReceipt, plan: RetokenPlan, leave_out: Sequence[LeaveOut]
    ) -> tuple[Sequence[RetokenPages], int]:
        """Work on all ranges, within the entries of what is left out; return the generation of the new tokens too."""
        with contextlib.ExitStack() as names:
            entries = {
                what: names.enter_context(self._on_record(run, plan, what)) for what in leave_out
            }
            new, _ = self._keys.tokenizers()
            maker = NextTokenMaker(self._keys, Opener(run), self._keys.old_tokenizers(), new)
            choice = LeaveOutChoice(self._keys, leave_out)
            rotation = self._months.begin(
                run.request, plan.month, ranges_of(plan.total), again=bool(leave_out)
            )
            works = RangeWorkers(self._workers, self._pace, self._progress).run(
                rotation.rotation_id,
                lambda rows: RetokenPages(rows, maker, new.generation, choice, self._progress),
            )
            left_out = sum((work.left_out for work in works), Counter[LeaveOut]())
            for what, entry in entries.items():
                entry.outcome = f"{entry.request.reason}: {left_out[what]} records"
            self._months.end(rotation.rotation_id)
        return works, new.generation

    def _on_record(
        self, run: AuditReceipt, plan: RetokenPlan, what: LeaveOut
    ) -> contextlib.AbstractContextManager[AuditReceipt]:
        """Write the intent before the first row is changed; the outcome says how many rows were left out."""
        reason = f"leave out of generation {plan.active} of the tokens of {plan.month.name}: {what}"
        entry = audit_request(
            self._identity,
            Action.PARTITIONS_RETOKEN,
            one_line(reason),
            record_id=what.record_id,
            fields=run.request.fields,
            ticket=str(run.request.request_id),
        )
        return audited(self._audit, entry)

    def _must_be_done(
        self, plan: RetokenPlan, generation: int, failed: Collection[uuid.UUID]
    ) -> None:
        rows = self._months.generations(plan.month)
        remaining = sum(count for number, count in rows.items() if number != generation)
        if not remaining:
            return
        if not failed:
            raise changed_meanwhile()
        shown = ", ".join(map(str, sorted(failed)[:MAX_NAMED]))
        message = (
            f"{remaining} rows of {plan.month.name} do not open, or hold another's token: {shown}"
        )
        hint = "they are left as they were; everything else is done: --leave-out names what may have no token"
        raise naming(DataError(message, hint=hint), self._keys.at_fault())
