"""Rotate the token keys: a pending generation, filled in beside the active one, checked, and cut over to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest, one_line
from vault_etl.audit.log import AuditLog, Identity, audit_request, audited
from vault_etl.base.errors import ConfigurationError, DataError, NotFoundError
from vault_etl.crypto.fields import PERSONAL_FIELDS
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.old import naming
from vault_etl.keys.ring import KeyReader
from vault_etl.platform.clock import Clock, Progress, Stop
from vault_etl.platform.waiting import Blocked, until_unblocked
from vault_etl.rotation.backfill import Backfill
from vault_etl.rotation.compare_tokens import TokenComparer, compare_tokens
from vault_etl.rotation.data_keys import slices
from vault_etl.rotation.leave_out import LeaveOut, Named
from vault_etl.rotation.next_tokens import Generations, RotationTokenMaker, TokenRow, wanted_keys
from vault_etl.rotation.pending_generation import BeginTokens
from vault_etl.rotation.ranges import named_keys


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """What a rotation would do: which keys it takes out of use, and how many rows get a next token.

    `pending` is the generation of a rotation that it would go on with. `named` are the rows that it
    would open once more, to leave out those that do not hold what their tokens say.
    """

    retire: tuple[int, ...]
    pending: int | None
    rows: int
    named: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenReport:
    """What a rotation did. `held_ms`: how long the cut-over held its locks.

    `left_out` counts all rows that the new generation has no token of, whichever run left them out.
    """

    retired: tuple[int, ...]
    created: tuple[int, ...]
    generation: int
    rows: int
    held_ms: float
    left_out: int = 0


def plan_tokens(
    reader: KeyReader,
    checker: TokenComparer,
    counter: NamedCounter,
    leave_out: Sequence[LeaveOut] = (),
) -> TokenPlan:
    """Count what `TokenRotation` would do now, and change nothing.

    Raises ConfigurationError if there are no token keys yet, and NotFoundError if one of `leave_out`
    names no row.
    """
    keys = reader.token_keys()
    active = [key for key in keys if key.state is KeyState.ACTIVE]
    pending = [key.generation for key in keys if key.state is KeyState.PENDING]
    if not active:
        raise ConfigurationError("there are no token keys yet", hint="run `vault-etl keys init`")
    generations = None
    if pending:
        generations = Generations(active[0].generation or 0, pending[0] or 0)
    named = tuple(counter.count_named(what) for what in leave_out)
    if nothing := [each.what for each in named if not each.rows]:
        message = f"there is no record to leave out: {'; '.join(map(str, nothing))}"
        raise NotFoundError(
            message, hint="a row is named by its id, or by the data keys that it lies under"
        )
    return TokenPlan(
        retire=tuple(sorted(key.key_id for key in active)),
        pending=generations.pending if generations else None,
        rows=checker.count(generations),
        named=named,
    )


class TokenRotation:
    """A rotation of the token keys of all fields: online, resumable, safe to run twice at once.

    `sign` signs the head of the log that the cut-over itself has written.
    """

    def __init__(
        self,
        *,
        audit: AuditLog,
        sign: Callable[[Head], object],
        identity: Identity,
        begin: BeginTokens,
        backfill: Backfill,
        keys: KeyReader,
        checker: TokenComparer,
        cut_over: CutOver,
    ) -> None:
        self._audit = audit
        self._sign = sign
        self._identity = identity
        self._begin = begin
        self._backfill = backfill
        self._keys = keys
        self._checker = checker
        self._cut_over = cut_over

    def rotate(self, request: AuditRequest, plan: TokenPlan) -> TokenReport:
        """Make a generation pending, give every row a token of it, check, and cut over.

        A rotation that was interrupted is gone on with. Of the rows that `plan` names, those that do
        not open to their own tokens get no token of the new generation: each name is its own entry
        in the log. Raises DataError, naming records and keys that are at fault, if other rows do not
        open or if old and new tokens do not map one to one: then nothing is cut over. Raises
        UnusableKeyError if a token key itself is at fault.
        Raises ConfigurationError while the generation before is still kept, or while other views
        depend on the columns; IncompleteError while others hold locks that the cut-over needs; and
        AuditError, KeyUnavailableError, UnavailableError. Whatever was done stays.
        """
        with audited(self._audit, request) as receipt:
            self._backfill.must_be_able()
            rotation = self._begin(request, slices(plan.rows))
            created = self._begin.pending_ids()
            maker = self._backfill.maker(receipt)
            rows = self._backfill.fill(rotation, maker)
            for named in plan.named:
                self._leave_out(receipt, named.what, maker)
            try:
                check = compare_tokens(
                    self._checker, maker, self._keys, lambda rows: self._on_record(receipt, rows)
                )
            except DataError as error:
                # Nothing is wrong with the rows if somebody else has cut over or aborted meanwhile.
                self._backfill.must_be_pending(maker.generations)
                raise naming(error, self._backfill.at_fault()) from None
            generation = maker.generations.pending
            reason = f"cut over to generation {generation} of the tokens"
            if check.left_out:
                reason += f", which leaves out {check.left_out} records"
            swapped = self._cut_over(
                audit_request(self._identity, Action.KEYS_CUT_OVER, reason, fields=PERSONAL_FIELDS),
                generation,
                check.partitions,
            )
            self._sign(swapped.head)
        return TokenReport(
            retired=tuple(sorted(rotation.old_keys)),
            created=created,
            generation=generation,
            rows=rows,
            held_ms=swapped.held_ms,
            left_out=check.left_out,
        )

    def _on_record(
        self, receipt: AuditReceipt, rows: Sequence[TokenRow]
    ) -> AbstractContextManager[AuditReceipt]:
        """The entry of rows of any range that a check opens."""
        keys = named_keys(key_id for key_id, _ in wanted_keys(rows))
        entry = audit_request(
            self._identity,
            Action.KEYS_ROTATE,
            f"a check of {len(rows)} rows, under {keys}",
            fields=PERSONAL_FIELDS,
            ticket=str(receipt.request.request_id),
        )
        return audited(self._audit, entry)

    def _leave_out(self, run: AuditReceipt, what: LeaveOut, maker: RotationTokenMaker) -> None:
        """An intent before the first row is changed; the outcome says how many were left out."""
        generation = maker.generations.pending
        reason = f"leave out of generation {generation} of the tokens: {one_line(str(what))}"
        entry = audit_request(
            self._identity,
            Action.KEYS_ROTATE,
            reason,
            record_id=what.record_id,
            fields=PERSONAL_FIELDS,
            ticket=str(run.request.request_id),
        )
        with audited(self._audit, entry) as receipt:
            done = self._backfill.leave_out(what, maker)
            keys = named_keys(done.key_ids, at_most=12)  # the name itself may be long
            receipt.outcome = f"{reason}, under {keys}: {done.left_out} of {done.rows} records"


class NamedCounter(Protocol):
    """May count what a `LeaveOut` names."""

    def count_named(self, what: LeaveOut) -> Named:
        """Count it, and change nothing."""


@dataclass(frozen=True, slots=True)
class Swapped:
    """The cut-over is committed. `held_ms`: how long it held its locks before that."""

    head: Head
    held_ms: float


class TokenCutOver(Protocol):
    """May have the next tokens take the place of the old ones."""

    def cut_over(
        self, request: AuditRequest, generation: int, partitions: Sequence[int] | None = None
    ) -> Swapped | Blocked:
        """Try once, in one transaction, which holds up loaders for 300 ms at the most.

        `partitions` are those that were checked. Raises ConfigurationError while other views or functions
        depend on the columns, naming them; IncompleteError if the generation is not pending, or if a
        month with rows was attached after the check.
        """


class CutOver:
    """Tries for so many seconds. A try that fails leaves everything as it was."""

    def __init__(
        self, cut_over: TokenCutOver, clock: Clock, stop: Stop, progress: Progress, wait: float
    ) -> None:
        self._cut_over = cut_over
        self._clock = clock
        self._stop = stop
        self._progress = progress
        self._wait = wait

    def __call__(
        self, request: AuditRequest, generation: int, partitions: Sequence[int] | None = None
    ) -> Swapped:
        """Cut over; `partitions` were checked. Raises IncompleteError when the time is up, naming who is in the way."""
        return until_unblocked(
            lambda: self._cut_over.cut_over(request, generation, partitions),
            "everything is ready for the cut-over",
            self._clock,
            self._stop,
            self._progress,
            self._wait,
        )
