"""Rows are opened, and given a token of the pending generation beside the one that they have, or left out of it."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from vault_etl.audit.entries import AuditReceipt
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.fields import KeyPurpose, Table
from vault_etl.keys.old import KeyAtFault
from vault_etl.platform.clock import Pace, Progress
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import Generations, NextTokens, RotationTokenMaker, TokenRow
from vault_etl.rotation.ranges import OpenRotation, Page, Range, RotationStep, in_slices
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import (
    Claim,
    Paged,
    RangeClaims,
    RangeWorker,
    RangeWorkers,
    stopped,
    work_off,
)

ALL_RECORDS: Final = Range(Table.USER_LOGINS, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1))


class Backfilling:
    """`PageWork` of a rotation of the token keys."""

    def __init__(
        self, backfill: TokenBackfill, maker: RotationTokenMaker, progress: Progress
    ) -> None:
        self._backfill = backfill
        self._maker = maker
        self._progress = progress
        self.done = 0

    def page(self, at: Range, claim: Claim, limit: int) -> Paged:
        """See `PageWork.page`. A row that does not open is left as it is, and passed.

        Raises KeyUnavailableError, UnavailableError, and IncompleteError if the rotation was ended by
        somebody else.
        """
        page = self._backfill.page(self._maker.generations, at, limit)
        rows, made = self._maker.make_in_time(page.rows, claim)
        step = page.step(claim.claim_id, at, len(rows))
        ready = [NextTokens(row, made[row.record_id]) for row in rows if row.record_id in made]
        filled = sum(in_slices(ready, step, self._fill, lambda each: each))
        self.done += filled
        self._progress.advance(filled, place=at.place.value)
        return Paged(len(rows), step if filled == len(ready) else None)

    def _fill(self, ready: Sequence[NextTokens], step: RotationStep) -> int:
        filled = self._backfill.fill(ready, self._maker.generations, step)
        if filled is None:
            raise ended_elsewhere()
        return filled


class LeavingOut:
    """`PageWork` over the rows that `what` names, whatever next tokens they have.

    Those that open to their own tokens get their next ones, for what stands there may be of a
    loader's invention; all others are left out. `rows` and `left_out` count them, and `key_ids` are
    the data keys that they are under.
    """

    def __init__(
        self, backfill: TokenBackfill, maker: RotationTokenMaker, what: LeaveOut, progress: Progress
    ) -> None:
        self._backfill = backfill
        self._maker = maker
        self._what = what
        self._progress = progress
        self.rows = 0
        self.left_out = 0
        self.key_ids = frozenset[int]()

    def page(self, at: Range, claim: Claim, limit: int) -> Paged:
        """See `PageWork.page`. Raises what `Backfilling.page` raises."""
        page = self._backfill.named(self._what, at, limit)
        rows, made = self._maker.make_in_time(page.rows, claim)
        self.key_ids = claim.opened.key_ids
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


@dataclass(frozen=True, slots=True)
class BackfillWorker:
    """What one worker needs of the database, over a connection of its own."""

    claims: RangeClaims
    backfill: TokenBackfill


class Backfill:
    """Gives every row of the active generation its next token."""

    def __init__(
        self,
        workers: Sequence[BackfillWorker],
        keys: WorkerKeys,
        pace: Pace,
        progress: Progress,
    ) -> None:
        self._workers = workers
        self._keys = keys
        self._pace = pace
        self._progress = progress

    def must_be_able(self) -> None:
        """Raise before anything is changed if this caller, or these settings, could open no row.

        Raises ConfigurationError if new keys get a KMS key that is not trusted, and what
        `KeyRing.tokenizers` raises.
        """
        self._keys.must_trust(KeyPurpose.DATA, KeyPurpose.TOKEN)
        self._keys.tokenizers()

    def at_fault(self) -> Sequence[KeyAtFault]:
        """The data keys that this process could not open."""
        return self._keys.at_fault()

    def maker(self, receipt: AuditReceipt) -> RotationTokenMaker:
        """What makes next tokens now. Raises IncompleteError if no generation is pending any more."""
        active, pending = self._keys.tokenizers()
        if pending is None:
            raise ended_elsewhere()
        return RotationTokenMaker(self._keys, Opener(receipt), active, pending)

    def fill(self, rotation: OpenRotation, maker: RotationTokenMaker) -> int:
        """Go through all ranges; how many rows this process gave a next token.

        Raises what `RangeWorkers.run` and `Backfilling.page` raise.
        """
        pages = [Backfilling(each.backfill, maker, self._progress) for each in self._workers]
        workers = [
            RangeWorker(each.claims, work) for each, work in zip(self._workers, pages, strict=True)
        ]
        RangeWorkers(workers, self._pace, self._progress).run(rotation.rotation_id)
        return sum(work.done for work in pages)

    def must_be_pending(self, generations: Generations) -> None:
        """Raise IncompleteError if these are not the generations any more."""
        active, pending = self._keys.tokenizers()
        if pending is None or generations != Generations(active.generation, pending.generation):
            raise ended_elsewhere()

    def leave_out(self, what: LeaveOut, maker: RotationTokenMaker) -> LeavingOut:
        """Open all rows that `what` names, and leave out those that do not hold what their tokens say.

        Raises what `Backfilling.page` raises, and IncompleteError if it was stopped.
        """
        work = LeavingOut(self._workers[0].backfill, maker, what, self._progress)
        work_off(work, ALL_RECORDS, Claim(), self._pace)
        if self._pace.stop.is_set():
            raise stopped()
        return work


def ended_elsewhere() -> IncompleteError:
    """The fence found other generations than those that this rotation is about."""
    return IncompleteError(
        "somebody else has ended or aborted this rotation of the token keys",
        hint="`vault-etl keys list` shows the generations",
    )


class TokenBackfill(Protocol):
    """May read ciphertexts, and give rows their next tokens by compare-and-swap."""

    def page(self, generations: Generations, at: Range, limit: int) -> Page[TokenRow]:
        """The next rows with tokens of the active generation that are not done with."""

    def named(self, what: LeaveOut, at: Range, limit: int) -> Page[TokenRow]:
        """The next rows with tokens that `what` names, done with or not."""

    def fill(
        self, rows: Sequence[NextTokens], generations: Generations, step: RotationStep
    ) -> int | None:
        """Store next tokens behind the fence; how many rows were still what was read.

        In the same transaction the range is moved on as `step` says, if these are all of them. None,
        and nothing is written, if the fence found other generations.
        """
