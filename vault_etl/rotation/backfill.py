"""Give rows a token of the pending generation beside the active one, or leave them out of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Final, Protocol

from vault_etl.audit.entries import AuditReceipt
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import EventName, KeyPurpose
from vault_etl.keys.value_keys import KeyAtFault
from vault_etl.platform.clock import Pace, Progress
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import Generations, NextTokens, RotationTokenMaker, TokenRow
from vault_etl.rotation.ranges import OpenRotation, Page, Range, RotationStep, Swap
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import (
    Claim,
    Paged,
    RangeWorker,
    RangeWorkers,
    go_through,
    stopped,
    write_page,
)

_FIRST: Final = uuid.UUID(int=0)
_LAST: Final = uuid.UUID(int=2**128 - 1)


class BackfillStore(Protocol):
    """Reads ciphertexts, and gives rows their next tokens by compare-and-swap."""

    def page(self, generations: Generations, at: Range, limit: int) -> Page[TokenRow]:
        """Read the next rows that have tokens of the active generation, have no next token and are not left out."""

    def named(self, what: LeaveOut, at: Range, limit: int) -> Page[TokenRow]:
        """Read the next rows with tokens that `what` names, whatever their next tokens are."""

    def fill(
        self, rows: Sequence[NextTokens], generations: Generations, step: RotationStep
    ) -> int | None:
        """Store next tokens behind the fence; return how many rows were still what was read.

        The same transaction moves the range on as `step` says if it wrote all rows. Returns None, and
        writes nothing, if the fence finds other generations.
        """


class Backfill:
    """Gives every row of the active generation its next token."""

    def __init__(
        self,
        events: Sequence[EventName],
        workers: Sequence[RangeWorker[BackfillStore]],
        keys: WorkerKeys,
        pace: Pace,
        progress: Progress,
    ) -> None:
        self._events = events
        self._workers = workers
        self._keys = keys
        self._pace = pace
        self._progress = progress

    def must_be_able(self) -> None:
        """Raise before anything is changed if this caller, or these settings, can open no row.

        Raises ConfigurationError if new keys get a KMS key that is not trusted, and what
        `KeyRing.tokenizers` raises.
        """
        self._keys.must_trust(KeyPurpose.DATA, KeyPurpose.TOKEN)
        self._keys.tokenizers()

    def at_fault(self) -> Sequence[KeyAtFault]:
        """The data keys that this process could not open."""
        return self._keys.at_fault()

    def maker(self, receipt: AuditReceipt) -> RotationTokenMaker:
        """Build the maker of the next tokens. Raises IncompleteError if no generation is pending any more."""
        active, pending = self._keys.tokenizers()
        if pending is None:
            raise ended_elsewhere()
        return RotationTokenMaker(self._keys, Opener(receipt), active, pending)

    def fill(self, rotation: OpenRotation, maker: RotationTokenMaker) -> int:
        """Go through all ranges; return how many rows this process gave a next token.

        Raises what `RangeWorkers.run` and `BackfillPages.page` raise.
        """
        workers = RangeWorkers(self._workers, self._pace, self._progress)
        works = workers.run(
            rotation.rotation_id, lambda rows: BackfillPages(rows, maker, self._progress)
        )
        return sum(work.done for work in works)

    def must_be_pending(self, generations: Generations) -> None:
        """Raise IncompleteError if the active and the pending generation are not these any more."""
        active, pending = self._keys.tokenizers()
        if pending is None or generations != Generations(active.generation, pending.generation):
            raise ended_elsewhere()

    def leave_out(self, what: LeaveOut, maker: RotationTokenMaker) -> LeaveOutPages:
        """Open all rows that `what` names, and leave out those whose values are not what their tokens say.

        Raises what `BackfillPages.page` raises, and IncompleteError if the run was stopped.
        """
        work = LeaveOutPages(self._workers[0].store, maker, what, self._progress)
        for event in self._events:
            go_through(work, Range(event, _FIRST, _LAST), Claim(), self._pace)
        if self._pace.stop.is_set():
            raise stopped()
        return work


class BackfillPages:
    """`PageWork` of a rotation of the token keys. `done` counts the rows that got a next token."""

    def __init__(
        self, backfill: BackfillStore, maker: RotationTokenMaker, progress: Progress
    ) -> None:
        self._backfill = backfill
        self._maker = maker
        self._progress = progress
        self.done = 0

    def page(self, at: Range, claim: Claim, limit: int) -> Paged:
        """Fill a page. A row that does not open stays as it is, and is skipped.

        Raises KeyUnavailableError, UnavailableError, and IncompleteError if another process ended the
        rotation.
        """
        page = self._backfill.page(self._maker.generations, at, limit)
        rows, made = self._maker.make_in_time(page.rows, claim)
        ready = [NextTokens(row, made[row.record_id]) for row in rows if row.record_id in made]
        swap, paged = write_page(page, len(rows), ready, at, claim, self._fill)
        self.done += swap.rows
        self._progress.advance(swap.rows, place=at.place)
        return paged

    def _fill(self, ready: Sequence[NextTokens], step: RotationStep) -> Swap:
        filled = self._backfill.fill(ready, self._maker.generations, step)
        if filled is None:
            raise ended_elsewhere()
        return Swap(filled, filled)


class LeaveOutPages:
    """`PageWork` over the rows that `what` names, whatever their next tokens are.

    Rows that open to their own tokens get their next tokens again, because a loader may have invented those that
    are stored. All other rows are left out. `rows` and `left_out` count them, and `key_ids` are the data
    keys that they are under.
    """

    def __init__(
        self, backfill: BackfillStore, maker: RotationTokenMaker, what: LeaveOut, progress: Progress
    ) -> None:
        self._backfill = backfill
        self._maker = maker
        self._what = what
        self._progress = progress
        self.rows = 0
        self.left_out = 0
        self.key_ids = frozenset[int]()

    def page(self, at: Range, claim: Claim, limit: int) -> Paged:
        """Fill or leave out the rows of a page. Raises what `BackfillPages.page` raises."""
        page = self._backfill.named(self._what, at, limit)
        rows, made = self._maker.make_in_time(page.rows, claim)
        self.key_ids |= claim.opened.key_ids
        step = page.step(claim.claim_id, at, len(rows))
        wanted = [NextTokens(row, made.get(row.record_id, {})) for row in rows]
        changed = [
            each for each in wanted if not each.tokens or each.tokens != each.row.next_tokens
        ]
        filled = self._backfill.fill(changed, self._maker.generations, step)
        if filled is None:
            raise ended_elsewhere()
        if filled != len(changed):
            return Paged(len(rows), None)
        self.rows += len(wanted)
        self.left_out += sum(not each.tokens for each in wanted)
        self._progress.advance(0, left_out=self.left_out)
        return Paged(len(rows), step)


def ended_elsewhere() -> IncompleteError:
    """Build the error of a rotation whose generations are not in force any more."""
    return IncompleteError(
        "another process has ended or aborted this rotation of the token keys",
        hint="`vault-etl keys list` shows the generations",
    )
