"""A blocked attempt to cut over gives up after 200 ms and names the sessions in the way.

Times are those of the server. A test of a short time takes the quickest of several attempts: a busy
machine may slow down one attempt, whereas a fault in the statements slows down all of them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.kit.cut_over import Ready, state
from tests.kit.waiting import until
from tests.rotation.blockers import (
    BLOCKERS,
    DUMP,
    FENCE,
    KEY,
    LAST_PARTITION,
    LOG,
    PARTITION,
    QUERY,
    RANGE,
    TABLE,
    VIEW,
    attempted,
    blocking,
    seen_waiting,
)
from vault_etl.platform.waiting import Blocked
from vault_etl.rotation.token_keys import CutOverDone


@pytest.fixture
def vault(to_cut_over: Ready) -> Ready:
    """A vault that is ready for a cut-over."""
    return to_cut_over


@pytest.mark.parametrize("blocker", BLOCKERS.values(), ids=BLOCKERS)
def test_a_blocking_session_is_named(vault: Ready, blocker: tuple[str, str]) -> None:
    """The outcome has its process id and login; no state changes, and the next attempt succeeds."""
    before = state(vault.scratch)
    with blocking(vault, blocker) as opened:
        outcome = vault.cut_over()
        assert isinstance(outcome, Blocked)
        login = "admin" if blocker[0] == "admin" else f"test_{blocker[0].replace('-', '_')}"
        assert f"pid {opened.info.backend_pid} ({login})" in outcome.by
        assert state(vault.scratch) == before
    vault.swap()


def test_a_blocked_attempt_ends_after_200_ms(vault: Ready) -> None:
    """The quickest of five takes 200 ms at least, and at most 100 ms more for a rollback and a query."""
    taken = []
    with blocking(vault, DUMP):
        for _ in range(5):
            began = time.monotonic()
            assert isinstance(vault.cut_over(), Blocked)
            taken.append(time.monotonic() - began)
    assert 0.2 <= min(taken) < 0.3, taken


@pytest.mark.parametrize(
    "blockers",
    [
        pytest.param((VIEW, PARTITION), id="view, partition"),
        pytest.param((FENCE, VIEW), id="batch, view"),
        pytest.param((FENCE, LOG), id="batch, log"),
        pytest.param((FENCE, KEY), id="batch, key"),
        pytest.param((FENCE, RANGE), id="batch, range"),
        pytest.param((LOG, TABLE), id="log, table"),
        pytest.param((PARTITION, LAST_PARTITION), id="two partitions"),
    ],
)
def test_all_locks_together_are_waited_for_200_ms(
    vault: Ready, blockers: Sequence[tuple[str, str]]
) -> None:
    """Two sessions that block for 120 ms each, one after the other, exceed the limit."""
    before, passed = state(vault.scratch), set[str]()
    with ExitStack() as stack:
        waiting = stack.enter_context(seen_waiting(vault.scratch))
        held = [stack.enter_context(blocking(vault, blocker)) for blocker in blockers]
        outcome = stack.enter_context(attempted(vault))
        for opened in held:
            until(lambda: outcome.done() or waiting() - passed)  # noqa: B023
            passed |= waiting()
            time.sleep(0.12)
            opened.rollback()
        assert isinstance(outcome.result(), Blocked)
    assert state(vault.scratch) == before
    vault.swap()


def test_a_session_that_ends_in_time_blocks_no_attempt(vault: Ready) -> None:
    """A lock that becomes free during the wait is taken; one of ten attempts gets that far."""
    for _ in range(10):
        with ExitStack() as stack:
            waiting = stack.enter_context(seen_waiting(vault.scratch))
            opened = stack.enter_context(blocking(vault, QUERY))
            outcome = stack.enter_context(attempted(vault))
            until(lambda: outcome.done() or waiting())  # noqa: B023
            opened.rollback()
            if isinstance(outcome.result(), CutOverDone):
                return
    pytest.fail("it never waited")


def test_an_analyst_who_locks_in_the_opposite_order_continues(vault: Ready) -> None:
    """An analyst who has read the table and now queries the view meets the attempt half way: the attempt gives up."""
    read_the_table = ("analyst", "SELECT count(user_id) FROM vault_etl.user_logins")
    with seen_waiting(vault.scratch) as waiting, blocking(vault, read_the_table) as opened:
        with attempted(vault) as outcome:
            until(lambda: waiting() or outcome.done())
            with opened.cursor() as cursor:
                cursor.execute(QUERY[1])
                assert cursor.fetchall() == [(len(vault.records),)]
        assert isinstance(outcome.result(), Blocked)


def test_analysts_wait_in_front_of_the_view(vault: Ready) -> None:
    """A waiting analyst holds no lock that the attempt still needs: one of ten is seen waiting."""
    held = (
        "SELECT l.relation::regclass::text, l.granted FROM pg_locks AS l"
        " JOIN pg_stat_activity AS a USING (pid) WHERE a.usename = 'test_analyst'"
        " AND l.relation IN ('user_logins'::regclass, 'user_logins_masked'::regclass)"
    )
    for _ in range(10):
        with ExitStack() as stack:
            waiting = stack.enter_context(seen_waiting(vault.scratch))
            stack.enter_context(blocking(vault, PARTITION))
            outcome = stack.enter_context(attempted(vault))
            until(lambda: outcome.done() or waiting())  # noqa: B023
            query = stack.enter_context(ThreadPoolExecutor(1)).submit(
                vault.scratch.sql, QUERY[1], role="analyst"
            )
            seen = [vault.scratch.sql(held)]
            while not seen[-1] and not query.done():
                seen.append(vault.scratch.sql(held))
            assert isinstance(outcome.result(), Blocked)
            if ("user_logins_masked", False) in seen[-1]:
                assert seen[-1] == [("user_logins_masked", False)]
                return
    pytest.fail("nobody ever waited")
