"""Rows are opened, and given a token of the pending generation beside the one that they have, or left out of it."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from vault_etl.audit.entries import AuditReceipt
from vault_etl.audit.opening import Opener
from vault_etl.base.errors import IncompleteError, IntegrityError
from vault_etl.crypto.ciphertext import Ciphertext, ValuePlace, key_id_in
from vault_etl.crypto.fields import Field, KeyPurpose, Table
from vault_etl.crypto.keys import DataKey
from vault_etl.crypto.tokens import Tokenizer
from vault_etl.keys.old import KeyAtFault
from vault_etl.platform.clock import Pace, Progress
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import Generations, NextTokens, TokenBackfill, TokenRow
from vault_etl.rotation.ranges import OpenRotation, Range, Step
from vault_etl.rotation.reseal import WorkersKeys
from vault_etl.rotation.rotations import RangeClaims
from vault_etl.rotation.slices import in_slices
from vault_etl.rotation.work_ranges import (
    Claim,
    Paged,
    RangeWorker,
    RangeWorkers,
    stopped,
    work_off,
)

ALL_RECORDS: Final = Range(Table.USER_LOGINS, uuid.UUID(int=0), uuid.UUID(int=2**128 - 1))


NewTokens = Mapping[uuid.UUID, Mapping[Field, uuid.UUID]]
"""Of each record, those of its fields."""


class NextTokenMaker:
    """Makes next tokens from what the ciphertexts hold, if the row's own token is of the same value.

    Rows of generations other than `old` get none.
    """

    def __init__(
        self, keys: WorkersKeys, opener: Opener, old: Sequence[Tokenizer], new: Tokenizer
    ) -> None:
        self._keys = keys
        self._opener = opener
        self._old = {tokenizer.generation: tokenizer for tokenizer in old}
        self._new = new

    def make(self, rows: Sequence[TokenRow]) -> NewTokens:
        """The next tokens of these rows, but for those that do not open or hold another's token, or none.

        Raises what `OldKeys.data_key` raises.
        """
        made: dict[uuid.UUID, Mapping[Field, uuid.UUID]] = {}
        while rows:
            done, more = self.make_in_time(rows, Claim())
            made |= more
            rows = rows[len(done) :]
        return made

    def make_in_time(
        self, rows: Sequence[TokenRow], claim: Claim
    ) -> tuple[Sequence[TokenRow], NewTokens]:
        """As `make`, for as many rows from the first on as `WorkersKeys.of_rows` has the keys of."""
        rows, keys = self._keys.of_rows(rows, claim.will_ask)
        claim.will_open(len(rows))
        made = {}
        for row in rows:
            # A ValueError: what was sealed has no token at all, and was not sealed by us.
            with contextlib.suppress(IntegrityError, ValueError):
                made[row.record_id] = {
                    field: self._next(row, field, keys)
                    for field in row.tokens.keys() | row.ciphertexts.keys()
                }
        return rows, made

    def _next(self, row: TokenRow, field: Field, keys: Mapping[int, DataKey]) -> uuid.UUID:
        old = self._old.get(row.generation)
        if old is None:
            raise IntegrityError
        sealed = row.ciphertexts.get(field, b"")
        key = keys.get(Ciphertext.parse(sealed).key_id)
        if key is None:
            raise IntegrityError
        value = self._opener.open(
            sealed, ValuePlace.in_record(field, row.record_id, row.user_id), key
        )
        if old.token(field, value) != row.tokens.get(field):
            raise IntegrityError
        return self._new.token(field, value)


class RotationTokenMaker(NextTokenMaker):
    """Makes the pending generation's tokens of rows of the active one."""

    def __init__(
        self, keys: WorkersKeys, opener: Opener, active: Tokenizer, pending: Tokenizer
    ) -> None:
        super().__init__(keys, opener, (active,), pending)
        self.generations = Generations(active.generation, pending.generation)


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

    def _fill(self, ready: Sequence[NextTokens], step: Step) -> int:
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
        keys: WorkersKeys,
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


def wanted_keys(rows: Sequence[TokenRow]) -> set[tuple[int, Field]]:
    """The data keys that these rows are under, each with its field."""
    return {(key_id_in(sealed), field) for row in rows for field, sealed in row.ciphertexts.items()}


def ended_elsewhere() -> IncompleteError:
    """The fence found other generations than those that this rotation is about."""
    return IncompleteError(
        "somebody else has ended or aborted this rotation of the token keys",
        hint="`vault-etl keys list` shows the generations",
    )
