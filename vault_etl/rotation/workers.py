"""Workers claim the ranges of a rotation, and go through one range at a time, page by page."""

from __future__ import annotations

import dataclasses
import math
import uuid
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Generic, Protocol, TypeVar

from vault_etl.base.errors import IncompleteError, VaultEtlError
from vault_etl.platform.clock import Pace, Progress
from vault_etl.rotation.ranges import (
    NOTHING_OPENED,
    HasRecordId,
    OpenedRows,
    Page,
    Range,
    RotationStep,
    Swap,
    in_slices,
)

PAGE_ROWS: Final = 5_000
CLAIM_AGAIN_S: Final = 0.2
"""Seconds between two attempts to claim a range that another worker holds, or held until it was killed."""
SIGNAL_WITHIN_S: Final = 0.5
"""Seconds until the main thread notices a signal that another thread received, or that came before a wait."""

_Store = TypeVar("_Store")
_Ready = TypeVar("_Ready")


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The ranges of a rotation that are not done, by any process."""

    ranges: int
    free_in: float
    """Seconds until the first of them may be claimed, unless its worker commits a page before."""


class RangeClaims(Protocol):
    """Claims ranges, each on the record. A claim lapses when its worker commits nothing for a while.

    The entry of a claim has the claim for its request id and the run's request id for its ticket. The entry
    gets an outcome when the range is done or freed, and none if its worker was killed.
    """

    def claim(self, rotation_id: uuid.UUID, claim: uuid.UUID) -> Range | None:
        """Claim a range that is not done and that no other worker holds; None if there is no such range.

        `claim` is a new id. The entry is committed with the claim, before any row is read. Raises
        DeniedError if the run has no intent of `keys rotate`.
        """

    def unfinished(self, rotation_id: uuid.UUID) -> Unfinished:
        """Count the ranges that are not done, and find when the first is free."""

    def free(self, claim: uuid.UUID, opened: OpenedRows = NOTHING_OPENED) -> None:
        """Free a claimed range, done or not, for others at once. A second call changes nothing.

        `opened` is for the outcome of the claim's entry.
        """


@dataclass(slots=True)
class Claim:
    """The claim of one range, and the rows and keys that were opened under it."""

    claim_id: uuid.UUID = field(default_factory=uuid.uuid4)
    opened: OpenedRows = NOTHING_OPENED

    def will_ask(self, key_id: int) -> None:
        """Note a key before it is opened, so that a key whose opening fails is counted too."""
        self.opened = self.opened.and_also(0, (key_id,))

    def will_open(self, rows: int) -> None:
        """Count rows before they are opened."""
        self.opened = self.opened.and_also(rows, ())


@dataclass(frozen=True, slots=True)
class Paged:
    """The result of a page: the rows that were read, and the new position. None: some rows are to be read again."""

    rows: int
    step: RotationStep | None


class PageWork(Protocol):
    """Does one page of a range, and commits it together with the position."""

    def page(self, at: Range, claim: Claim, limit: int) -> Paged:
        """Do up to `limit` rows behind `at.after`."""


_Work = TypeVar("_Work", bound=PageWork)


def write_page(
    page: Page[HasRecordId],
    taken: int,
    ready: Sequence[_Ready],
    at: Range,
    claim: Claim,
    write: Callable[[Sequence[_Ready], RotationStep], Swap],
) -> tuple[Swap, Paged]:
    """Write what became of the first `taken` rows of a page, and move the range on behind them.

    The range stays if a row of `ready` was not what was read any more.
    """
    step = page.step(claim.claim_id, at, taken)
    swap = in_slices(ready, step, write)
    return swap, Paged(taken, step if swap.rows == len(ready) else None)


@dataclass(frozen=True, slots=True)
class RangeWorker(Generic[_Store]):
    """The claims and the rows of one worker, over a connection of its own."""

    claims: RangeClaims
    store: _Store


class RangeWorkers(Generic[_Store]):
    """Goes through all ranges of a rotation, while other processes may do the same."""

    def __init__(
        self, workers: Sequence[RangeWorker[_Store]], pace: Pace, progress: Progress
    ) -> None:
        self._workers = workers
        self._pace = pace
        self._stop = pace.stop
        self._progress = progress
        self._working = set[uuid.UUID]()

    def run(self, rotation_id: uuid.UUID, work: Callable[[_Store], _Work]) -> Sequence[_Work]:
        """Give each worker the `work` of its store, and return that work when every range is done.

        Other processes may do some of the ranges. When a worker fails, all end, and its error is raised. Raises
        IncompleteError if the workers were stopped; Ctrl-C and SIGTERM end them too. Committed pages stay done,
        and claimed ranges are freed.
        """
        works = [work(each.store) for each in self._workers]
        claims = [each.claims for each in self._workers]
        if len(works) == 1:
            self._run(claims[0], works[0], rotation_id)
        else:
            self._run_all(claims, works, rotation_id)
        if self._stop.is_set():
            raise stopped()
        return works

    def _run_all(
        self, claims: Sequence[RangeClaims], works: Sequence[PageWork], rotation_id: uuid.UUID
    ) -> None:
        with ThreadPoolExecutor(len(works), "rotation") as pool:
            try:
                running = [
                    pool.submit(self._run, each, work, rotation_id)
                    for each, work in zip(claims, works, strict=True)
                ]
                done, going_on = _wait(running)
            except BaseException:
                self._stop.set()
                raise
            if going_on:  # a worker has failed
                self._stop.set()
        for each in (*done, *going_on):
            each.result()

    def _run(self, claims: RangeClaims, work: PageWork, rotation_id: uuid.UUID) -> None:
        claim = Claim()
        try:
            while not self._stop.is_set():
                claim = Claim()
                if self._do_range(claims, work, rotation_id, claim):
                    continue
                unfinished = claims.unfinished(rotation_id)
                if not unfinished.ranges:
                    return
                self._tell_wait(unfinished)
                self._stop.wait(CLAIM_AGAIN_S)
        except BaseException:
            with suppress(VaultEtlError):
                claims.free(claim.claim_id, claim.opened)
            raise

    def _do_range(
        self, claims: RangeClaims, work: PageWork, rotation_id: uuid.UUID, claim: Claim
    ) -> bool:
        """Claim a range and go through it; False if no range is free."""
        self._working.add(claim.claim_id)
        try:
            at = claims.claim(rotation_id, claim.claim_id)
            if at is None:
                return False
            go_through(work, at, claim, self._pace)
            claims.free(claim.claim_id, claim.opened)
            return True
        finally:
            self._working.discard(claim.claim_id)

    def _tell_wait(self, unfinished: Unfinished) -> None:
        """Report what the run waits for, unless a worker of this process still works: its pages are reported."""
        if self._working:
            return
        ranges = "1 range" if unfinished.ranges == 1 else f"{unfinished.ranges} ranges"
        seconds = math.ceil(unfinished.free_in)
        waiting = f"{ranges} that another process has claimed, free in {seconds} s if that is gone"
        self._progress.advance(0, waiting_for=waiting)


def _wait(running: Collection[Future[None]]) -> tuple[set[Future[None]], set[Future[None]]]:
    """Wait until all workers have ended or one has failed; those that have ended, and those that go on."""
    while True:
        done, going_on = wait(running, SIGNAL_WITHIN_S, FIRST_EXCEPTION)
        if not going_on or any(each.exception() for each in done):
            return done, going_on


def stopped() -> IncompleteError:
    """Build the error of a run that was told to end."""
    return IncompleteError(
        "stopped before every row was done", hint="run it again: it goes on where it was"
    )


def go_through(work: PageWork, at: Range, claim: Claim, pace: Pace) -> None:
    """Go through one range, page by page, until the range is done or the run is stopped."""
    while not pace.stop.is_set():
        paged = work.page(at, claim, pace.page_rows(PAGE_ROWS))
        pace.wait(paged.rows)
        if paged.step is None:
            continue
        if paged.step.is_done:
            return
        at = dataclasses.replace(at, after=paged.step.after)
