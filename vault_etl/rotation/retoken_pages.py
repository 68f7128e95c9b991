"""Give a page of rows of a detached month new tokens, or leave rows without them."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Protocol

from vault_etl.base.errors import IncompleteError
from vault_etl.crypto.ciphertext import key_id_in
from vault_etl.platform.clock import Progress
from vault_etl.rotation.compare_tokens import MAX_NAMED
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.next_tokens import NextTokenMaker, NextTokens, TokenRow
from vault_etl.rotation.ranges import Page, Range, RotationStep, Swap
from vault_etl.rotation.worker_keys import WorkerKeys
from vault_etl.rotation.workers import Claim, Paged, write_page


class DetachedTokens(Protocol):
    """Reads the rows of a claimed range of a detached month, and gives them tokens by compare-and-swap."""

    def page(self, claim: uuid.UUID, at: Range, limit: int) -> Page[TokenRow]:
        """Read the next rows whose tokens are not of the active generation.

        The page is empty, and the last one, if another worker has claimed the range, or if the month is not
        detached any more. Raises DeniedError without the claim's entry.
        """

    def fill(self, rows: Sequence[NextTokens], generation: int, step: RotationStep) -> int | None:
        """Store the tokens behind the fence; return how many rows were still what was read.

        The same transaction moves the range on as `step` says if it wrote all rows. Returns None, and
        writes nothing, if `generation` is not the active one.
        """


class RetokenPages:
    """`PageWork` over the rows of a detached month whose tokens are old.

    `done` counts the rows with new tokens, `left_out` those that a name leaves without; `failed` has the
    first rows that stay as they were.
    """

    def __init__(
        self,
        tokens: DetachedTokens,
        maker: NextTokenMaker,
        generation: int,
        choice: LeaveOutChoice,
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
        """Fill a page. Raises what `BackfillPages.page` raises."""
        page = self._tokens.page(claim.claim_id, at, limit)
        rows, made = self._maker.make_in_time(page.rows, claim)
        names = self._choice.of([row for row in rows if row.record_id not in made])
        ready = [
            NextTokens(row, made.get(row.record_id, {}))
            for row in rows
            if row.record_id in made or row.record_id in names
        ]
        swap, paged = write_page(page, len(rows), ready, at, claim, self._fill)
        if paged.step is None:
            self.done += swap.rows
            return paged
        left_out = Counter(what for what in names.values() if what is not None)
        self.done += swap.rows - left_out.total()
        self.left_out += left_out
        room = MAX_NAMED - len(self.failed)
        missed = (r.record_id for r in rows if r.record_id not in made and r.record_id not in names)
        self.failed += list(missed)[:room]
        self._progress.advance(swap.rows, place=at.place)
        return paged

    def _fill(self, ready: Sequence[NextTokens], step: RotationStep) -> Swap:
        filled = self._tokens.fill(ready, self._generation, step)
        if filled is None:
            raise changed_meanwhile()
        return Swap(filled, filled)


class LeaveOutChoice:
    """Chooses which rows that got no token may stay without one."""

    def __init__(self, keys: WorkerKeys, leave_out: Sequence[LeaveOut]) -> None:
        self._keys = keys
        self._leave_out = leave_out

    def of(self, rows: Sequence[TokenRow]) -> Mapping[uuid.UUID, LeaveOut | None]:
        """The rows that a name leaves out, each with its name. None: the row had no token before."""
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


def changed_meanwhile() -> IncompleteError:
    """Build the error of a month that was attached or dropped, or whose tokens were rotated, during the run."""
    return IncompleteError(
        "the active generation of the token keys, or the month, has changed meanwhile",
        hint="run it again: it begins with what is there now",
    )
