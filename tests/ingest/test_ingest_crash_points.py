"""Named crash points, with a good queue and a bad one: another process then loads each message once."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest

from tests.kit.fakes.faulty_queue import BAD_DAY, UNDEAD_S, FaultyQueue
from tests.kit.fakes.login_events import login_event
from tests.kit.fakes.record_loader import FakeRecordLoader
from tests.kit.fakes.tap import Tap
from tests.kit.fakes.vault import PATIENT, FakeVault
from vault_etl.ingest.steps import Bounds
from vault_etl.records.fenced_writes import (
    KeysChanged,
    Loaded,
    MonthUnattached,
    RowsRefused,
    WriteKeys,
)
from vault_etl.records.messages import SealedRecord, SealedRejection

T = TypeVar("T")
SENT = 43
SEEDS = [None, *range(8)]
"""Of the bad days; None is a good one."""


class Death(BaseException):
    """The end of the process: no code catches it."""


class Fuse:
    """A countdown that ends in death."""

    def __init__(self, uses: int) -> None:
        self._left = uses
        self.is_blown = False

    def burn(self, *_: object) -> None:
        """Count one use."""
        self._left -= 1
        if self._left < 0:
            self.is_blown = True
            raise Death

    def through(self, rows: Sequence[T]) -> list[T]:
        """Yield the rows; each row is a use."""
        for _ in rows:
            self.burn()
        return list(rows)


class CopyingLoader(FakeRecordLoader):
    """Loads row after row, and may die at any row."""

    fuse = Fuse(0)

    def load(
        self,
        records: Sequence[SealedRecord],
        rejections: Sequence[SealedRejection],
        keys: WriteKeys,
    ) -> Loaded | KeysChanged | RowsRefused | MonthUnattached:
        """Load the batch, and die at the end of the fuse."""
        return super().load(self.fuse.through(records), rejections, keys)


def at_call(name: str, *, after: bool) -> Callable[[FakeVault, Fuse], FakeVault]:
    """Die at a call of this name, at the end of the fuse."""

    def arm(vault: FakeVault, fuse: Fuse) -> FakeVault:
        def around(called: str, call: Callable[[], Any]) -> object:
            if called != name:
                return call()
            answer = call() if after else None
            fuse.burn()
            return answer if after else call()

        return vault.tapped(lambda part: Tap(part, around))

    return arm


def mid_copy(vault: FakeVault, fuse: Fuse) -> FakeVault:
    """Die when a part of a batch is staged."""
    loader = CopyingLoader(vault.database)
    loader.fuse = fuse
    seen = vault.tapped(lambda part: part)
    seen.loader = loader
    return seen


def before_commit(vault: FakeVault, fuse: Fuse) -> FakeVault:
    """Die when all rows of a batch are staged."""
    vault.loader.before_commit = fuse.burn
    return vault


def mid_delete(vault: FakeVault, fuse: Fuse) -> FakeVault:
    """Die when a part of a call's messages is deleted."""
    committed = vault.queue.before_delete
    assert committed

    def one_more(message_id: str, sent_ms: int) -> None:
        committed(message_id, sent_ms)
        fuse.burn()

    vault.queue.before_delete = one_more
    return vault


POINTS: dict[str, Callable[[FakeVault, Fuse], FakeVault]] = {
    "after receive": at_call("receive", after=True),
    "mid-COPY": mid_copy,
    "before COMMIT": before_commit,
    "COMMIT sent, its answer lost": at_call("load", after=True),
    "before delete": at_call("delete", after=False),
    "mid-delete": mid_delete,
}


def with_messages(seed: int | None) -> FakeVault:
    """Return a vault with messages, two of which are not events."""
    vault = FakeVault()
    if seed is not None:
        vault.use_queue(FaultyQueue(vault.clock, BAD_DAY, seed=seed))
    for number in range(SENT - 2):
        vault.queue.send(login_event(user_id=f"user-{number}"))
    vault.queue.send(b"junk")
    vault.queue.send(login_event(ip="nowhere"))
    return vault


def heal(vault: FakeVault) -> None:
    """Remove the cause of death."""
    vault.loader.before_commit = lambda: None
    vault.queue.before_delete = vault._must_be_committed


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("uses", [0, 1, 2, 5, 13])
@pytest.mark.parametrize("point", POINTS)
def test_another_process_loads_every_message_once_after_a_crash(
    point: str, uses: int, seed: int | None
) -> None:
    """Each message is one row, and the queue is empty, wherever the process died."""
    vault = with_messages(seed)
    fuse = Fuse(uses)
    options: dict[str, Any] = {
        "visibility": 60,
        "patience": PATIENT,
        "bounds": Bounds(wait_in_flight=True),
        "batch_size": 8,
        "linger": 0,
        "receivers": 2,
    }
    with contextlib.suppress(Death):
        POINTS[point](vault, fuse).drain(threading.Event(), **options)
    heal(vault)
    assert fuse.is_blown or uses >= 5
    vault.drain(**options)
    assert len(vault.database.records) == SENT - 2
    assert len(vault.database.quarantine) == 2
    vault.clock.advance(UNDEAD_S)
    vault.drain(**options)
    assert vault.queue.message_ids == []
    assert len(vault.database.records) + len(vault.database.quarantine) == SENT
