"""TODO."""

from __future__ import annotations

import dataclasses
import math
import uuid
from collections.abc import Collection, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, Protocol

from vault_etl.base.errors import IncompleteError, VaultEtlError
from vault_etl.platform.clock import Pace, Progress
from vault_etl.rotation.ranges import NOTHING_OPENED, OpenedRows, Range, RotationStep


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The ranges of a rotation that are not done, whoever works on them."""

    ranges: int
    free_in: float
    """Seconds until the first of them may be claimed, unless its worker commits a page before."""


class RangeClaims(Protocol):
    """May claim ranges, each on the record. A claim ends when nothing was done for a while.

    Its entry has the claim for its request id, the run's request id for its ticket, and an outcome
    when the range is done or let go of: not if its holder was killed.
    """

    def claim(self, rotation_id: uuid.UUID, claim: uuid.UUID) -> Range | None:
        """A range that is not done, and that nobody else works on; None if there is none.

        `claim` is a new id. The entry is committed with the claim, before any row is read. Raises
        DeniedError if the run has no intent of `keys rotate`.
        """

    def unfinished(self, rotation_id: uuid.UUID) -> Unfinished:
        """What is not done, and when it is free."""

    def release(self, claim: uuid.UUID, opened: OpenedRows = NOTHING_OPENED) -> None:
        """Let go of what is claimed, done or not, for others to go on with at once; once is enough.

        `opened` is for the outcome of its entry.
        """


PAGE_ROWS: Final = 1_000
LOOK_AGAIN_S: Final = 0.2
"""Between two looks whether what others work on is done, or free again since they were killed."""
HEARD_WITHIN_S: Final = 0.5
"""How long a signal waits to be noticed that another thread was handed, or that came just before a wait."""


@dataclass(frozen=True, slots=True)
class Paged:
    """What became of a page: how many rows were read, and the cursor. None: some are to be read again."""

    rows: int
    step: RotationStep | None


@dataclass(slots=True)
class Claim:
    """What a worker holds one range by, and what it has opened under it."""

    claim_id: uuid.UUID = field(default_factory=uuid.uuid4)
    opened: OpenedRows = NOTHING_OPENED

    def will_ask(self, key_id: int) -> None:
        """Note a key before it is opened, so that what fails on the way is counted too."""
        self.opened = self.opened.and_also(0, (key_id,))

    def will_open(self, rows: int) -> None:
        """Count rows before they are opened."""
        self.opened = self.opened.and_also(rows, ())


class PageWork(Protocol):
    """Does one page of a range, and commits it together with the cursor."""

    def page(self, at: Range, claim: Claim, limit: int) -> Paged:
        """Do up to `limit` rows behind `at.after`."""


@dataclass(frozen=True, slots=True)
class RangeWorker:
    """One worker: what it claims with, and what it does. No two share a connection."""

    claims: RangeClaims
    work: PageWork


class RangeWorkers:
    """Goes through all ranges of a rotation, beside other processes that may do the same."""

    def __init__(self, workers: Sequence[RangeWorker], pace: Pace, progress: Progress) -> None:
        self._workers = workers
        self._pace = pace
        self._stop = pace.stop
        self._progress = progress
        self._working = set[uuid.UUID]()

    def run(self, rotation_id: uuid.UUID) -> None:
        """Return when every range is done, whoever did it.

        Raises what the first worker that fails raises, when all have ended, and IncompleteError if
        they were stopped; Ctrl-C and SIGTERM end them too. What was done stays done, and what was
        claimed is let go of.
        """
        if len(self._workers) == 1:
            self._run(self._workers[0], rotation_id)
        else:
            self._run_all(rotation_id)
        if self._stop.is_set():
            raise stopped()

    def _run_all(self, rotation_id: uuid.UUID) -> None:
        with ThreadPoolExecutor(len(self._workers), "rotation") as pool:
            try:
                running = [pool.submit(self._run, each, rotation_id) for each in self._workers]
                done, going_on = _wait(running)
            except BaseException:
                self._stop.set()
                raise
            if going_on:  # one has failed
                self._stop.set()
        for each in (*done, *going_on):
            each.result()

    def _run(self, worker: RangeWorker, rotation_id: uuid.UUID) -> None:
        claim = Claim()
        try:
            while not self._stop.is_set():
                claim = Claim()
                if self._do_range(worker, rotation_id, claim):
                    continue
                unfinished = worker.claims.unfinished(rotation_id)
                if not unfinished.ranges:
                    return
                self._tell_wait(unfinished)
                self._stop.wait(LOOK_AGAIN_S)
        except BaseException:
            with suppress(VaultEtlError):
                worker.claims.release(claim.claim_id, claim.opened)
            raise

    def _do_range(self, worker: RangeWorker, rotation_id: uuid.UUID, claim: Claim) -> bool:
        """Claim a range and go through it; False if there is none to claim."""
        self._working.add(claim.claim_id)
        try:
            at = worker.claims.claim(rotation_id, claim.claim_id)
            if at is None:
                return False
            work_off(worker.work, at, claim, self._pace)
            worker.claims.release(claim.claim_id, claim.opened)
            return True
        finally:
            self._working.discard(claim.claim_id)

    def _tell_wait(self, unfinished: Unfinished) -> None:
        """Say what is waited for, unless it is another worker of this process, whose pages are told."""
        if self._working:
            return
        ranges = "1 range" if unfinished.ranges == 1 else f"{unfinished.ranges} ranges"
        seconds = math.ceil(unfinished.free_in)
        waiting = f"{ranges} that another process has claimed, free in {seconds} s if that is gone"
        self._progress.advance(0, waiting_for=waiting)


def _wait(running: Collection[Future[None]]) -> tuple[set[Future[None]], set[Future[None]]]:
    """Wait until all have ended or one has failed; those that have ended, and those that go on."""
    while True:
        done, going_on = wait(running, HEARD_WITHIN_S, FIRST_EXCEPTION)
        if not going_on or any(each.exception() for each in done):
            return done, going_on


def stopped() -> IncompleteError:
    """Somebody has told it to end."""
    return IncompleteError(
        "stopped before every row was done", hint="run it again: it goes on where it was"
    )


def work_off(work: PageWork, at: Range, claim: Claim, pace: Pace) -> None:
    """Go through one range, page by page, until it is done or time to end."""
    while not pace.stop.is_set():
        paged = work.page(at, claim, pace.page_rows(PAGE_ROWS))
        pace.wait(paged.rows)
        if paged.step is None:
            continue
        if paged.step.is_done:
            return
        at = dataclasses.replace(at, after=paged.step.after)
