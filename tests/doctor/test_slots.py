"""Replication slots: what each holds back is told, and it is a fault if nobody comes for much of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from vault_etl.doctor.checks.replica import MAX_HELD_BYTES, slots
from vault_etl.doctor.views import Slot


@dataclass(frozen=True, slots=True)
class _Server:
    found: Sequence[Slot]

    def slots(self) -> Sequence[Slot]:
        return self.found


@pytest.mark.parametrize(
    ("found", "ok", "detail"),
    [
        ([], True, "there are none"),
        ([Slot("a", True, "extended", 3 * 2**30)], True, "a holds back 3,072 MiB of WAL"),
        (
            [Slot("a", False, "reserved", MAX_HELD_BYTES)],
            True,
            "a holds back 1,024 MiB of WAL, and is not connected",
        ),
        (
            [Slot("a", True, "reserved", 0), Slot("b", False, "extended", MAX_HELD_BYTES + 1)],
            False,
            "b holds back 1,024 MiB of WAL, and is not connected",
        ),
        (
            [Slot("a", False, "lost", 0)],
            False,
            "a holds back 0 MiB of WAL, and is not connected",
        ),
        ([Slot("a", True, "unreserved", 0)], False, "a holds back 0 MiB of WAL"),
    ],
)
def test_slots(found: list[Slot], ok: bool, detail: str) -> None:
    """A consumer that is connected catches up by itself."""
    verdict = slots(_Server(found))
    assert (verdict.ok, verdict.detail) == (ok, detail)
    assert (verdict.hint is None) == ok
