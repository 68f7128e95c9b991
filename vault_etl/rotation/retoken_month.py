"""Give the rows of a detached month tokens of the active generation, so that it can be attached."""

from __future__ import annotations

import contextlib
import uuid
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest, one_line
from vault_etl.audit.log import AuditLog, Identity, audit_request, audited
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import ConfigurationError, DataError, IncompleteError
from vault_etl.crypto.ciphertext import key_id_in
from vault_etl.crypto.fields import PERSONAL_FIELDS, KeyPurpose
from vault_etl.keys.old import naming
from vault_etl.keys.ring import KeyReader
from vault_etl.platform.clock import Pace, Progress
from vault_etl.rotation.data_keys import slices
from vault_etl.rotation.detached import DetachedMonth, DetachedMonths, DetachedTokens
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import NewTokens, NextTokenMaker, NextTokens, TokenRow
from vault_etl.rotation.ranges import Range, RotationStep, in_slices
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import Claim, Paged, RangeClaims, RangeWorker, RangeWorkers

MAX_NAMED: Final = 10
"""Records that an error names."""


@dataclass(frozen=True, slots=True)
class RetokenPlan:
    """How many rows of a month have tokens of each generation other than the active one."""

    month: DetachedMonth
    active: int
    rows: Mapping[int, int]

    @property
    def total(self) -> int:
        """All of these rows."""
        return sum(self.rows.values())


@dataclass(frozen=True, slots=True)
class RetokenReport:
    """How many rows this process gave new tokens, and how many of all have none since they were left out."""

    generation: int
    rows: int
    left_out: int


def plan_retoken(months: DetachedMonths, keys: KeyReader, month: DetachedMonth) -> RetokenPlan:
    """Count what `MonthRetoken` would do now, and change nothing. Reads every row of the month.

    Raises ConfigurationError without an active generation, while another one is pending, and if a
    generation of the month was destroyed: then nothing can compare its tokens.
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
    there = {key.generation for field in PERSONAL_FIELDS for key in keys.field_token_keys(field)}
    if gone := [generation for generation in rows if generation not in there]:
        message = (
            f"generation {', '.join(map(str, gone))} of the token keys was destroyed:"
            f" its tokens in {month.name} cannot be compared with what the rows hold"
        )
        raise ConfigurationError(message, hint="load the month from its source again")
    return RetokenPlan(month, active, rows)


@dataclass(frozen=True, slots=True)
class RetokenWorker:
    """What one worker needs of the database, over a connection of its own."""

    claims: RangeClaims
    tokens: DetachedTokens


class MonthRetoken:
    """Opens every row of a detached month whose tokens are old: resumable, safe to run twice at once."""

    def __init__(
        self,
        *,
        audit: AuditLog,
        identity: Identity,
        months: DetachedMonths,
        workers: Sequence[RetokenWorker],
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
        """Give every row of the month new tokens, but for those that do not open to their own.

        Of these, what `leave_out` names gets none: each name is an entry of its own in the log. Raises
        DataError, naming records and keys, if others are left; they stay as they were. Raises
        ConfigurationError if new keys get a KMS key that is not trusted; IncompleteError if the active
        generation changes meanwhile; AuditError, KeyUnavailableError, UnavailableError. What was done
        stays done.
        """
        with audited(self._audit, request) as receipt:
            self._keys.must_trust(KeyPurpose.DATA, KeyPurpose.TOKEN)
            pages, generation = self._go_through(receipt, plan, leave_out)
            self._must_be_done(plan, generation, [i for work in pages for i in work.failed])
        return RetokenReport(
            generation,
            sum(work.done for work in pages),
            sum(work.left_out.total() for work in pages),
        )

    def _go_through(
        self, run: AuditReceipt, plan: RetokenPlan, leave_out: Sequence[LeaveOut]
    ) -> tuple[Sequence[Retokening], int]:
        """All ranges, within the entries of what is left out; and the generation of the new tokens."""
        with contextlib.ExitStack() as names:
            said = {
                what: names.enter_context(self._on_record(run, plan, what)) for what in leave_out
            }
            new, _ = self._keys.tokenizers()
            maker = NextTokenMaker(self._keys, Opener(run), self._keys.old_tokenizers(), new)
            choice = _Choice(self._keys, leave_out)
            rotation = self._months.begin(
                run.request, plan.month, slices(plan.total), again=bool(leave_out)
            )
            pages = [
                Retokening(each.tokens, maker, new.generation, choice, self._progress)
                for each in self._workers
            ]
            workers = [
                RangeWorker(each.claims, work)
                for each, work in zip(self._workers, pages, strict=True)
            ]
            RangeWorkers(workers, self._pace, self._progress).run(rotation.rotation_id)
            left_out = sum((work.left_out for work in pages), Counter[LeaveOut]())
            for what, entry in said.items():
                entry.outcome = f"{entry.request.reason}: {left_out[what]} records"
            self._months.end(rotation.rotation_id)
        return pages, new.generation

    def _on_record(
        self, run: AuditReceipt, plan: RetokenPlan, what: LeaveOut
    ) -> contextlib.AbstractContextManager[AuditReceipt]:
        """An intent before the first row is changed; the outcome says how many were left out."""
        reason = f"leave out of generation {plan.active} of the tokens of {plan.month.name}: {what}"
        entry = audit_request(
            self._identity,
            Action.PARTITIONS_RETOKEN,
            one_line(reason),
            record_id=what.record_id,
            fields=PERSONAL_FIELDS,
            ticket=str(run.request.request_id),
        )
        return audited(self._audit, entry)

    def _must_be_done(
        self, plan: RetokenPlan, generation: int, failed: Collection[uuid.UUID]
    ) -> None:
        rows = self._months.generations(plan.month)
        left = sum(count for number, count in rows.items() if number != generation)
        if not left:
            return
        if not failed:
            raise changed_meanwhile()
        shown = ", ".join(map(str, sorted(failed)[:MAX_NAMED]))
        message = f"{left} rows of {plan.month.name} do not open, or hold another's token: {shown}"
        hint = "they are left as they were; everything else is done: --leave-out names what may have no token"
        raise naming(DataError(message, hint=hint), self._keys.at_fault())


class Retokening:
    """`PageWork` over the rows of a detached month whose tokens are old.

    `done` counts those with new tokens, `left_out` those that a name leaves without; `failed` are the
    first of those that stay as they were.
    """

    def __init__(
        self,
        tokens: DetachedTokens,
        maker: NextTokenMaker,
        generation: int,
        choice: _Choice,
        progress: Progress,
    ) -> None:
        self._tokens = tokens
        self._maker = maker
        self._generation = generation
        self._choice = choice
        self._progress = progress
        self.done = 0
        self.left_out = Counter[LeaveOut]()
        self.failed: list[uuid.UUID] = []

    def page(self, at: Range, claim: Claim, limit: int) -> Paged:
        """See `PageWork.page`. Raises what `Backfilling.page` raises."""
        page = self._tokens.page(claim.claim_id, at, limit)
        rows, made = self._maker.make_in_time(page.rows, claim)
        step = page.step(claim.claim_id, at, len(rows))
        names = self._choice.of([row for row in rows if row.record_id not in made])
        ready = [
            made_of(row, made) for row in rows if row.record_id in made or row.record_id in names
        ]
        filled = sum(in_slices(ready, step, self._fill, lambda each: each))
        if filled != len(ready):
            self.done += filled
            return Paged(len(rows), None)
        left_out = Counter(what for what in names.values() if what is not None)
        self.done += filled - left_out.total()
        self.left_out += left_out
        room = MAX_NAMED - len(self.failed)
        missed = (r.record_id for r in rows if r.record_id not in made and r.record_id not in names)
        self.failed += list(missed)[:room]
        self._progress.advance(filled, place=at.place.value)
        return Paged(len(rows), step)

    def _fill(self, ready: Sequence[NextTokens], step: RotationStep) -> int:
        filled = self._tokens.fill(ready, self._generation, step)
        if filled is None:
            raise changed_meanwhile()
        return filled


class _Choice:
    """Which rows that got no token may have none."""

    def __init__(self, keys: WorkerKeys, leave_out: Sequence[LeaveOut]) -> None:
        self._keys = keys
        self._leave_out = leave_out

    def of(self, rows: Sequence[TokenRow]) -> Mapping[uuid.UUID, LeaveOut | None]:
        """Those that a name leaves out, each with its name; None: it had no token before."""
        chosen: dict[uuid.UUID, LeaveOut | None] = {
            row.record_id: None for row in rows if not row.tokens
        }
        if not self._leave_out:
            return chosen
        under = {row.record_id: {key_id_in(s) for s in row.ciphertexts.values()} for row in rows}
        keys = {key.key_id: key for key in self._keys.stored(set[int]().union(*under.values()))}
        for row in rows:
            stored = [keys[key_id] for key_id in under[row.record_id] & keys.keys()]
            named = (what for what in self._leave_out if what.names(row.record_id, stored))
            if row.tokens and (what := next(named, None)) is not None:
                chosen[row.record_id] = what
        return chosen


def made_of(row: TokenRow, made: NewTokens) -> NextTokens:
    """The row with its new tokens, or with none."""
    return NextTokens(row, made.get(row.record_id, {}))


def changed_meanwhile() -> IncompleteError:
    """The tokens were rotated, or the month was attached or dropped, while this ran."""
    return IncompleteError(
        "the active generation of the token keys, or the month, has changed meanwhile",
        hint="run it again: it begins with what is there now",
    )
