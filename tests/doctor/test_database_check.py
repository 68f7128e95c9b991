"""The server is new enough and UTF-8, its months have places, and the fence is empty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from vault_etl.doctor.checks import database
from vault_etl.doctor.views import ClosedArchive, Server, Transport


@dataclass
class Facts:
    """`ServerFacts` as a test says."""

    found: Server = field(
        default_factory=lambda: Server(160_000, "UTF8", pooled=False, as_login=True)
    )
    size: int = 0
    missing: Sequence[str] = ()
    asked: int = 0
    detached: Sequence[str] = ()
    archived: Sequence[ClosedArchive] = ()

    def server(self) -> Server:
        """See `ServerFacts.server`."""
        return self.found

    def transport(self) -> Transport:
        """See `ServerFacts.transport`."""
        return Transport("disable", [])

    def fence_bytes(self) -> int:
        """See `ServerFacts.fence_bytes`."""
        return self.size

    def missing_months(self, ahead: int) -> Sequence[str]:
        """See `ServerFacts.missing_months`."""
        self.asked = ahead
        return self.missing

    def detached_months(self) -> Sequence[str]:
        """See `ServerFacts.detached_months`."""
        return self.detached

    def archives(self) -> Sequence[ClosedArchive]:
        """See `ServerFacts.archives`."""
        return self.archived


@pytest.mark.parametrize(
    ("version", "encoding", "ok"),
    [
        (159_999, "UTF8", False),
        (160_000, "UTF8", True),
        (180_001, "UTF8", True),
        (180_001, "SQL_ASCII", False),
        (180_001, "LATIN1", False),
    ],
)
def test_a_server_is_16_or_newer_and_utf8(version: int, encoding: str, ok: bool) -> None:
    """And whatever it is, the line names it."""
    verdict = database.server(Facts(Server(version, encoding, pooled=False, as_login=True)))
    assert verdict.ok is ok
    assert bool(verdict.hint) is not ok
    assert encoding in verdict.detail or str(version // 10_000) in verdict.detail


def test_a_pooler_is_told_and_another_login_is_a_fault() -> None:
    """The first is no fault; behind the second everybody would be the same login."""
    told = database.server(Facts(Server(160_000, "UTF8", pooled=True, as_login=True)))
    wrong = database.server(Facts(Server(160_000, "UTF8", pooled=True, as_login=False)))
    assert (told.ok, wrong.ok) == (True, False)
    assert "client_address" in told.detail
    assert "login" in wrong.detail


def test_a_pending_migration_is_named() -> None:
    """With who applies it."""
    assert [verdict.ok for verdict in database.migrations({})] == [True]
    for pending in ({"0009_next": False}, {"0008_large.online": True, "0009_next": False}):
        (verdict,) = database.migrations(pending)
        assert (verdict.ok, verdict.detail) == (False, f"pending: {', '.join(pending)}")
        assert "vault-etl migrate" in str(verdict.hint)


def test_online_work_that_is_left_keeps_no_check_from_its_look() -> None:
    """What comes first is good, and what is left is told beside it."""
    good, left = database.migrations({"0008_large.online": True})
    assert (good.ok, left.ok) == (True, False)
    assert "0008_large.online" in left.detail
    assert "--online" in str(left.hint)


def test_three_months_ahead_need_partitions() -> None:
    """Those that lack one are named."""
    facts = Facts()
    assert database.partitions(facts).ok
    assert facts.asked == 3
    verdict = database.partitions(Facts(missing=["2026-03", "2026-04"]))
    assert verdict.ok is False
    assert "2026-03, 2026-04" in verdict.detail
    assert "vault-etl ingest" in str(verdict.hint)


def test_detached_months_are_told() -> None:
    """They are no fault, and no rotation reaches them."""
    verdict = database.partitions(Facts(detached=["user_logins_2024_03"]))
    assert verdict.ok
    assert verdict.detail.endswith("user_logins_2024_03")


def test_archives_are_told() -> None:
    """How many months are there alone, and which archives an erasure did not reach."""
    archived = [ClosedArchive("old", True, 0), ClosedArchive("older", True, 2)]
    verdict = database.partitions(Facts(archived=[*archived, ClosedArchive("new", False, 0)]))
    assert verdict.ok
    assert verdict.detail.endswith("; 2 archived; archives that still hold erased rows: older")


def test_a_fence_that_holds_something_is_none() -> None:
    """Its lock is all that it is for."""
    assert database.fence(Facts()).ok
    assert database.fence(Facts(size=8_192)).ok is False
