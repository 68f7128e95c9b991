"""The cut-over is tried again until no session blocks it, or the time is up."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.kit.declarations import BOTH
from tests.kit.fakes.clock import FakeClock, FakeStop
from tests.kit.fakes.progress import FakeProgress
from tests.kit.fakes.vault import FakeVault, rotate_request
from tests.rotation.token_world import (
    CUT_OVER,
    Watch,
    generations,
    token_vault,
    watched,
)
from vault_etl.audit.checkpoint import Head
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import ConfigurationError, IncompleteError
from vault_etl.crypto.keys import KeyState
from vault_etl.platform.waiting import Blocked
from vault_etl.rotation.token_keys import CutOverDone, CutOverTries

HOLDER = "pid 7 (analyst, psql)"


class Waits(FakeStop):
    """Lets time pass, and adds it up."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.seconds: list[float] = []

    def wait(self, timeout: float) -> bool:
        """Add up the wait, and let the time pass."""
        self.seconds.append(timeout)
        return super().wait(timeout)


class Locked:
    """`TokenCutOver` that a session blocks until a time; each try takes 0.2 s."""

    def __init__(self, clock: FakeClock, until: float) -> None:
        self._clock = clock
        self._until = until
        self.requests: list[AuditRequest] = []

    def cut_over(
        self, request: AuditRequest, generation: int, partitions: Sequence[int] | None = None
    ) -> CutOverDone | Blocked:
        """Return `Blocked` until the time is reached, then `CutOverDone`."""
        assert (generation, partitions) == (2, None)
        self.requests.append(request)
        if self._clock.monotonic() >= self._until:
            return CutOverDone(Head(1, bytes(32)), 12.5)
        self._clock.advance(0.2)
        return Blocked((HOLDER,) if len(self.requests) % 2 else ())


def test_a_cut_over_is_tried_again_until_the_locks_are_free() -> None:
    """All tries have one request; the waits grow up to five seconds, and progress names the sessions."""
    clock, progress = FakeClock(), FakeProgress()
    waits, locked = Waits(clock), Locked(clock, until=60)
    request = rotate_request()
    swapped = CutOverTries(locked, clock, waits, progress, wait=600)(request, 2)
    assert swapped.held_ms == 12.5
    assert {r.request_id for r in locked.requests} == {request.request_id}
    assert 60 <= clock.monotonic() < 66
    for number, seconds in enumerate(waits.seconds):
        least = min(0.5 * 2**number, 4)
        assert least <= seconds <= least + 1
    assert [details["waiting_for"] for _, details in progress.steps[:2]] == [
        HOLDER,
        "sessions that have ended",
    ]
    assert {done for done, _ in progress.steps} == {0}


@pytest.mark.parametrize("wait", [0.0, 1.0, 30.0])
def test_a_cut_over_names_the_blocking_sessions_when_the_time_is_up(wait: float) -> None:
    """The last try is made when the time is up, and not long before."""
    clock = FakeClock()
    waits, locked = Waits(clock), Locked(clock, until=10_000)
    with pytest.raises(IncompleteError) as caught:
        CutOverTries(locked, clock, waits, FakeProgress(), wait)(rotate_request(), 2)
    assert "everything is ready for the cut-over" in str(caught.value)
    assert (HOLDER in str(caught.value)) is (len(locked.requests) % 2 == 1)
    assert wait <= clock.monotonic() <= wait + 0.5
    assert "--wait" in (caught.value.hint or "")


@pytest.fixture(params=BOTH)
def vault(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> FakeVault:
    """Seven records in two ranges, three a page."""
    return token_vault(monkeypatch, declaration=request.param)


def test_a_cut_over_that_is_blocked_changes_nothing(vault: FakeVault) -> None:
    """All rows stay filled in; the next run has no row to fill in, and cuts over."""
    watch = Watch(vault)
    vault.tokens.blocked = [(HOLDER,)] * 1_000
    with pytest.raises(IncompleteError, match="pid 7"):
        watched(vault, watch).rotate_tokens(wait=30.0)
    assert generations(vault) == {KeyState.ACTIVE: {1}, KeyState.PENDING: {2}}
    rows = dict(vault.database.records)
    assert {r.next_token_generation for r in rows.values()} == {2}
    vault.tokens.blocked = [(HOLDER,)] * 3
    report = watched(vault, watch).rotate_tokens(wait=30.0)
    assert (report.rows, report.generation) == (0, 2)
    assert generations(vault) == CUT_OVER


def test_an_object_that_depends_on_the_columns_ends_the_cut_over_at_once(vault: FakeVault) -> None:
    """Waiting does not help; all rows stay filled in for the next run."""

    class Depended(Locked):
        def cut_over(
            self, request: AuditRequest, generation: int, partitions: Sequence[int] | None = None
        ) -> CutOverDone | Blocked:
            super().cut_over(request, generation, partitions)
            raise ConfigurationError("other objects depend on the token columns: view x")

    depended = Depended(vault.clock, until=0)
    cut_over = CutOverTries(depended, vault.clock, FakeStop(vault.clock), FakeProgress(), 600)
    with pytest.raises(ConfigurationError):
        cut_over(rotate_request(), 2)
    assert len(depended.requests) == 1
