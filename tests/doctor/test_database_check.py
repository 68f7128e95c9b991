"""Migrations are applied, months have partitions, and the fence is empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from typing_extensions import override

from tests.kit.declarations import DEFAULT
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.doctor import database
from vault_etl.doctor.database import ClosedArchive, MonthFacts


@dataclass
class FakeMonthFacts(MonthFacts):
    """Months in the given state."""

    missing: Sequence[str] = ()
    asked: int = 0
    detached: Sequence[str] = ()
    archived: Sequence[ClosedArchive] = ()

    @override
    def missing_months(self, events: Sequence[DeclaredEvent], ahead: int) -> Sequence[str]:
        self.asked = ahead
        return self.missing

    @override
    def detached_months(self) -> Sequence[str]:
        return self.detached

    @override
    def archives(self) -> Sequence[ClosedArchive]:
        return self.archived


def test_a_pending_migration_is_named() -> None:
    """The hint names the command that applies it."""
    assert [verdict.ok for verdict in database.migrations({})] == [True]
    for pending in ({"0009_next": False}, {"0008_large.online": True, "0009_next": False}):
        (verdict,) = database.migrations(pending)
        assert (verdict.ok, verdict.detail) == (False, f"pending: {', '.join(pending)}")
        assert "vault-etl migrate" in str(verdict.hint)


def test_online_work_that_is_left_does_not_stop_later_checks() -> None:
    """The first verdict is good; a second one reports the online work."""
    good, left = database.migrations({"0008_large.online": True})
    assert (good.ok, left.ok) == (True, False)
    assert "0008_large.online" in left.detail
    assert "--online" in str(left.hint)


def test_three_months_ahead_need_partitions() -> None:
    """Months without a partition are named."""
    facts = FakeMonthFacts()
    assert database.partitions(facts, DEFAULT.events).ok
    assert facts.asked == 3
    verdict = database.partitions(FakeMonthFacts(missing=["2026-03", "2026-04"]), DEFAULT.events)
    assert verdict.ok is False
    assert "2026-03, 2026-04" in verdict.detail
    assert "vault-etl ingest" in str(verdict.hint)


def test_detached_months_are_reported() -> None:
    """A detached month is no fault, and no rotation reaches it."""
    verdict = database.partitions(FakeMonthFacts(detached=["user_logins_2024_03"]), DEFAULT.events)
    assert verdict.ok
    assert verdict.detail.endswith("user_logins_2024_03")


def test_archives_are_reported() -> None:
    """The verdict counts archived months, and names what erasures wait for."""
    archived = [ClosedArchive("old", True, 0), ClosedArchive("older", True, 2)]
    verdict = database.partitions(
        FakeMonthFacts(archived=[*archived, ClosedArchive("new", False, 0)]), DEFAULT.events
    )
    assert verdict.ok
    assert verdict.detail.endswith(
        "; 2 archived; archives and sets that wait for `lake erase`: older"
    )


def test_a_fence_that_is_not_empty_is_a_fault() -> None:
    """The table exists only to be locked."""
    assert database.fence(0).ok
    assert database.fence(8_192).ok is False
