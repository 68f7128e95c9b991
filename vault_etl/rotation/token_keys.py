"""Rotate the token keys: fill in a pending generation beside the active one, compare them, and cut over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import Action, AuditReceipt, AuditRequest, one_line
from vault_etl.audit.log import AuditLog, Identity, audit_request, audited
from vault_etl.base.errors import ConfigurationError, DataError, NotFoundError
from vault_etl.crypto.keys import KeyState
from vault_etl.keys.ring import KeyReader
from vault_etl.keys.value_keys import naming
from vault_etl.platform.clock import Clock, Progress, Stop
from vault_etl.platform.waiting import Blocked, until_unblocked
from vault_etl.rotation.backfill import Backfill
from vault_etl.rotation.compare_tokens import TokenComparer, compare_tokens
from vault_etl.rotation.data_keys import ranges_of
from vault_etl.rotation.leave_out import LeaveOut, Named
from vault_etl.rotation.next_tokens import Generations, RotationTokenMaker, TokenRow, keys_of
from vault_etl.rotation.pending_generation import BeginTokens
from vault_etl.rotation.ranges import named_keys


@dataclass(frozen=True, slots=True)
class TokenPlan:
    """The work of a rotation to come: the keys that it retires, and the number of rows that get a next token.

    `pending` is the generation of an interrupted rotation that the run would continue. `named` are the rows that
    the run would open again, to leave out those whose values are not what their tokens say.
    """

    retire: tuple[int, ...]
    pending: int | None
    rows: int
    named: tuple[Named, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenReport:
    """The result of a rotation. `held_ms`: milliseconds for which the cut-over held its locks.

    `left_out` counts all rows without a token of the new generation, no matter which run left them out.
    """

    retired: tuple[int, ...]
    created: tuple[int, ...]
    generation: int
    rows: int
    held_ms: float
    left_out: int = 0


class NamedCounter(Protocol):
    """Counts what a `LeaveOut` names."""

    def count_named(self, what: LeaveOut) -> Named:
        """Count the rows and keys, and change nothing."""


def plan_tokens(
    reader: KeyReader,
    comparer: TokenComparer,
    counter: NamedCounter,
    leave_out: Sequence[LeaveOut] = (),
) -> TokenPlan:
    """Count the rows that `TokenRotation` would fill now, and change nothing.

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
        rows=comparer.count(generations),
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
        comparer: TokenComparer,
        cut_over: CutOverTries,
    ) -> None:
        self._audit = audit
        self._sign = sign
        self._identity = identity
        self._begin = begin
        self._backfill = backfill
        self._keys = keys
        self._comparer = comparer
        self._cut_over = cut_over

    def rotate(self, request: AuditRequest, plan: TokenPlan) -> TokenReport:
        """Make a generation pending, give every row a token of it, compare the tokens, and cut over.

        An interrupted rotation is continued. Of the rows that `plan` names, those that do not open to their own
        tokens get no token of the new generation; each name is an entry of its own in the log. Raises
        DataError, naming records and keys that are at fault, if other rows do not open or if old and new
        tokens do not map one to one: then there is no cut-over. Raises UnusableKeyError if a token key is
        at fault. Raises ConfigurationError while the previous generation is kept, or while other views
        depend on the columns; IncompleteError while others hold locks that the cut-over needs; and
        AuditError, KeyUnavailableError, UnavailableError. Committed pages stay done.
        """
        with audited(self._audit, request) as receipt:
            self._backfill.must_be_able()
            rotation = self._begin(request, ranges_of(plan.rows))
            created = self._begin.pending_ids()
            maker = self._backfill.maker(receipt)
            rows = self._backfill.fill(rotation, maker)
            for named in plan.named:
                self._leave_out(receipt, named.what, maker)
            try:
                comparison = compare_tokens(
                    self._comparer, maker, self._keys, lambda rows: self._on_record(receipt, rows)
                )
            except DataError as error:
                # The rows are not at fault if another process has cut over or aborted meanwhile.
                self._backfill.must_be_pending(maker.generations)
                raise naming(error, self._backfill.at_fault()) from None
            generation = maker.generations.pending
            reason = f"cut over to generation {generation} of the tokens"
            if comparison.left_out:
                reason += f", which leaves out {comparison.left_out} records"
            done = self._cut_over(
                audit_request(self._identity, Action.KEYS_CUT_OVER, reason, fields=request.fields),
                generation,
                comparison.partitions,
            )
            self._sign(done.head)
        return TokenReport(
            retired=tuple(sorted(rotation.old_keys)),
            created=created,
            generation=generation,
            rows=rows,
            held_ms=done.held_ms,
            left_out=comparison.left_out,
        )

    def _on_record(
        self, receipt: AuditReceipt, rows: Sequence[TokenRow]
    ) -> AbstractContextManager[AuditReceipt]:
        """Put on record the rows of any range that the comparison opens."""
        keys = named_keys(keys_of(rows))
        entry = audit_request(
            self._identity,
            Action.KEYS_ROTATE,
            f"a check of {len(rows)} rows, under {keys}",
            fields=receipt.request.fields,
            ticket=str(receipt.request.request_id),
        )
        return audited(self._audit, entry)

    def _leave_out(self, run: AuditReceipt, what: LeaveOut, maker: RotationTokenMaker) -> None:
        """Write the intent before the first row is changed; the outcome says how many rows were left out."""
        generation = maker.generations.pending
        reason = f"leave out of generation {generation} of the tokens: {one_line(str(what))}"
        entry = audit_request(
            self._identity,
            Action.KEYS_ROTATE,
            reason,
            record_id=what.record_id,
            fields=run.request.fields,
            ticket=str(run.request.request_id),
        )
        with audited(self._audit, entry) as receipt:
            done = self._backfill.leave_out(what, maker)
            keys = named_keys(done.key_ids, at_most=12)  # the name itself may be long
            receipt.outcome = f"{reason}, under {keys}: {done.left_out} of {done.rows} records"


@dataclass(frozen=True, slots=True)
class CutOverDone:
    """A committed cut-over. `held_ms`: milliseconds for which it held its locks."""

    head: Head
    held_ms: float


class TokenCutOver(Protocol):
    """Replaces the old tokens with the next ones."""

    def cut_over(
        self, request: AuditRequest, generation: int, partitions: Sequence[int] | None = None
    ) -> CutOverDone | Blocked:
        """Try once, in one transaction, which blocks loaders for at most 300 ms.

        `partitions` are those that were compared. Raises ConfigurationError while other views or functions
        depend on the columns, naming them; IncompleteError if the generation is not pending, or if a
        month with rows was attached after the comparison.
        """


class CutOverTries:
    """Tries to cut over for `wait` seconds. A failed attempt changes nothing."""

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
    ) -> CutOverDone:
        """Cut over; `partitions` were compared. Raises IncompleteError when the time is up, naming lock holders."""
        return until_unblocked(
            lambda: self._cut_over.cut_over(request, generation, partitions),
            "everything is ready for the cut-over",
            self._clock,
            self._stop,
            self._progress,
            self._wait,
        )
