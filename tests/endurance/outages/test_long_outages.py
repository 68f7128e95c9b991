"""Outages as long as the bounds that they meet: tens of seconds of real time, side by side."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from typing import Any

import pytest

from tests.endurance.outages.faults import behind, full_up, locked, waiting_backend
from tests.endurance.outages.following import Following, following
from tests.endurance.outages.line import always, set_visibility
from tests.endurance.outages.survival import everything_once, survives
from tests.endurance.outages.together import Together
from tests.kit.events import events
from tests.kit.tcp_proxy import Fault, TcpProxy
from tests.kit.vault import Vault

AT_ONCE = 8
MESSAGES = 12
DENIED_S = 60
LOCK_TIMEOUT_S = 30
ANSWER_WITHIN_S = 40
MAX_RECEIVES = 5
LATE_S = 25
"""What a busy machine may add."""


def five_visibility_timeouts(vault: Vault) -> None:
    """An outage of five timeouts: each message is received once, and none goes to the dead-letter queue."""
    visibility = 4
    set_visibility(vault, visibility)
    with following(vault) as run:
        run.until_ready()
        with full_up(vault):
            vault.send(events(MESSAGES))
            run.until_away("unavailable")
            time.sleep((MAX_RECEIVES + 0.5) * visibility)
            assert run.vault.depth()[1] > 0
        run.until_settled(MESSAGES)
        run.until_ready()
        assert len(run.extended()) > MAX_RECEIVES
        everything_once(run, MESSAGES)
        assert dead_letters(vault) == 0


def lock_timeout(vault: Vault) -> None:
    """Somebody holds the table for longer than ingest waits for it, 30 s: it says so, and tries again."""
    with following(vault) as run:
        run.until_ready()
        with locked(vault):
            vault.send(events(MESSAGES))
            waiting_backend(vault)
            away_after(run, LOCK_TIMEOUT_S, "locked")
        run.until_settled(MESSAGES)
        run.until_ready()
        everything_once(run, MESSAGES)


def frozen(vault: Vault) -> None:
    """A server process that runs no more is left after 40 s, and another one stores the batch meanwhile."""
    with following(vault) as run:
        run.until_ready()
        with ExitStack() as ice:
            with locked(vault):
                vault.send(events(MESSAGES))
                pid = waiting_backend(vault)
                os.kill(pid, signal.SIGSTOP)
                ice.callback(os.kill, pid, signal.SIGCONT)
                away_after(run, ANSWER_WITHIN_S, "unavailable")
            run.until_settled(MESSAGES)
        run.until_ready()
        everything_once(run, MESSAGES)


def silent_database(vault: Vault) -> None:
    """A database behind a line that takes everything and answers nothing is waited for too."""
    with (
        TcpProxy(vault.server.port) as line,
        following(vault, VAULT_ETL_DATABASE_URL=behind(vault, line)) as run,
    ):
        run.until_ready()
        with line.broken(Fault.BLACKHOLE):
            vault.send(events(MESSAGES))
            run.until(lambda: vault.depth()[1] > 0)
            run.until_away("unavailable", ANSWER_WITHIN_S + LATE_S)  # or a probe finds it first
        assert line.hits[Fault.BLACKHOLE] >= 1
        run.until_settled(MESSAGES)
        run.until_ready()
        everything_once(run, MESSAGES)


def silent_kms(vault: Vault) -> None:
    """Three calls of 10 s without an answer: not ready, and then as after any outage."""
    with following(vault) as run:
        survives(run, run.kms.broken(run.kms.silence), "unavailable")


def kms_denies_for_good(vault: Vault) -> None:
    """A KMS that denies for good: exit 77 after a minute, so that an operator acts; all messages are given back."""
    with following(vault) as run:
        run.until_ready()
        with run.kms.broken(always("AccessDeniedException")):
            vault.send(events(MESSAGES))
            summary = ends_denied(run, "KMS")
        assert summary["given_back"] == summary["received"] > 0
        assert (summary["stored"], summary["deleted"]) == (0, 0)


def credentials_expired_for_good(vault: Vault) -> None:
    """The same for SQS: what was received before is stored."""
    with following(vault) as run:
        run.until_ready()
        with run.sqs.broken(always("ExpiredTokenException")):
            vault.send(events(MESSAGES))  # to a long poll that was begun before, or to none
            summary = ends_denied(run, "SQS")
        assert summary["stored"] == summary["received"] == run.rows()
        assert summary["deleted"] == 0


def ends_denied(run: Following, service: str) -> dict[str, Any]:
    """Exit 77 a minute after the first refusal, and not before."""
    run.until_away("denied")
    began = time.monotonic()
    summary = run.ends(77, DENIED_S + LATE_S)
    assert time.monotonic() - began > DENIED_S - 5
    assert f"vault-etl: error: {service} denies this" in run.stderr
    return summary


def credentials_come_back_in_time(vault: Vault) -> None:
    """Forty seconds later it goes on as if nothing had been."""
    with following(vault) as run:
        run.until_ready()
        with run.sqs.broken(always("ExpiredTokenException")):
            run.until_away("denied")
            time.sleep(DENIED_S - 20)
            assert run.process.poll() is None
            vault.send(events(MESSAGES))
        run.until_settled(MESSAGES)
        run.until_ready()
        everything_once(run, MESSAGES)


def away_after(run: Following, seconds: float, word: str) -> None:
    """Assert that ingest becomes not ready after about so many seconds: no sooner than most of the time."""
    began = time.monotonic()
    run.until_away(word, seconds + LATE_S)
    assert time.monotonic() - began > 0.8 * seconds


def dead_letters(vault: Vault) -> int:
    """Count the messages in the dead-letter queue."""
    attributes = vault.emulator.client("sqs").get_queue_attributes(
        QueueUrl=vault.provisioned.dead_letter_url, AttributeNames=["All"]
    )["Attributes"]
    return int(attributes["ApproximateNumberOfMessages"])


CASES = {
    "credentials come back in time": credentials_come_back_in_time,
    "credentials expired for good": credentials_expired_for_good,
    "KMS denies for good": kms_denies_for_good,
    "frozen": frozen,
    "silent database": silent_database,
    "silent KMS": silent_kms,
    "lock timeout": lock_timeout,
    "five visibility timeouts": five_visibility_timeouts,
}


@pytest.mark.parametrize("case", CASES)
def test_a_long_outage_has_its_bound(cases: Together, case: str) -> None:
    """Ingest waits until the bound: every message is stored once after the outage, or given back at the bound."""
    cases.result(case)
