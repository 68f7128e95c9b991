"""SIGTERM and SIGINT while it follows, in every state: nothing is stranded, lost, or deleted too early."""

from __future__ import annotations

import functools
import json
import signal
import threading
import time

import pytest

from tests.endurance.outages.faults import behind, full_up, locked, waiting_backend
from tests.endurance.outages.following import Following, following
from tests.endurance.outages.together import Together
from tests.kit.events import events
from tests.kit.proxy import Call, Verdict
from tests.kit.tcp_proxy import Fault, TcpProxy
from tests.kit.vault import Vault
from tests.kit.waiting import until
from vault_etl.settings.model import SPECS

AT_ONCE = 5
MESSAGES = 12
RECEIVERS = 4
LONG_POLL_S = "20"
STOP_WITHIN_S = 28
GIVEN_BACK_S = (5, 30)
URGENT_S = 2
TRIES = 5
"""After so many failures the next try is made in 8 s at the earliest."""
SLOW_S = 6
"""What a busy machine may add, to the end of a process too."""
SECONDS = 60


def in_a_long_poll(vault: Vault) -> None:
    """Exit 0 within 28 s; what the last poll brings is given back, and seen again within 30 s."""
    with following(vault, VAULT_ETL_FOLLOW_WAIT=LONG_POLL_S) as run:
        run.until(lambda: run.calls("ReceiveMessage") == RECEIVERS)
        run.until_ready()
        run.send(signal.SIGTERM)
        run.until(lambda: run.readiness() == "stopping")
        vault.send(events(1))
        summary = run.ends(0, STOP_WITHIN_S)
        assert run.calls("ReceiveMessage") == RECEIVERS
        assert (summary["received"], summary["given_back"], summary["deleted"]) == (1, 1, 0)
        (seconds,) = run.extended()
        assert GIVEN_BACK_S[0] <= seconds <= GIVEN_BACK_S[1]
    until(lambda: vault.depth() == (1, 0, 0), GIVEN_BACK_S[1] + SLOW_S, pause=0.2)


def while_nothing_comes(vault: Vault) -> None:
    """Ctrl-C ends ingest in two seconds by default: no long poll is longer than one second."""
    wait = str(SPECS["follow_wait"].default)
    with following(vault, VAULT_ETL_FOLLOW_WAIT=wait) as run:
        run.until_ready()
        run.until(lambda: run.calls("ReceiveMessage") > RECEIVERS)
        polls = [call.body for call in run.queue.calls if call.operation == "ReceiveMessage"]
        assert {json.loads(body)["WaitTimeSeconds"] for body in polls} == {1}
        began = time.monotonic()
        run.send(signal.SIGINT)
        run.ends(130)
        assert time.monotonic() - began < URGENT_S + SLOW_S


def with_a_batch_in_hand(vault: Vault) -> None:
    """The batch in hand is committed, and each of its messages is deleted."""
    with following(vault) as run:
        run.until_ready()
        with locked(vault):
            vault.send(events(MESSAGES))
            waiting_backend(vault)
            run.until(lambda: vault.depth()[1] == MESSAGES)
            run.send(signal.SIGTERM)
        summary = run.ends(0)
        assert summary["stored"] == summary["deleted"] == run.rows()
        assert summary["received"] == summary["stored"] + summary["given_back"]
        assert summary["stored"] >= 1
        assert sum(vault.depth()) == MESSAGES - summary["deleted"]


def with_deletes_to_make(vault: Vault) -> None:
    """A slow queue: all of what is committed is deleted before the end."""

    def late(call: Call) -> Verdict:
        if call.operation == "DeleteMessageBatch":
            time.sleep(1)
        return True

    with following(vault) as run:
        run.until_ready()
        with run.sqs.broken(late):
            vault.send(events(5 * MESSAGES))
            run.until(lambda: run.rows() == 5 * MESSAGES)
            run.send(signal.SIGTERM)
            summary = run.ends(0)
        assert summary["stored"] == summary["deleted"] == 5 * MESSAGES
    assert vault.depth() == (0, 0, 0)


def while_postgres_is_away(vault: Vault) -> None:
    """Held messages are given back without another try, though the next one is seconds away: exit 0."""
    with following(vault) as run:
        run.until_ready()
        with full_up(vault):
            vault.send(events(MESSAGES))
            run.until_away("unavailable")
            run.until(lambda: len(run.lines("batch")) >= TRIES)
            run.send(signal.SIGTERM)
            summary = run.ends(0, STOP_WITHIN_S)
            assert len(run.lines("batch")) == TRIES
        assert summary["given_back"] == summary["received"] > 0
        assert run.calls("DeleteMessageBatch") == 0
        assert all(GIVEN_BACK_S[0] <= s <= GIVEN_BACK_S[1] for s in run.extended())
        assert len(run.extended()) == summary["given_back"]


def while_postgres_is_silent(vault: Vault) -> None:
    """A batch whose commit is in doubt: given back when the time is over, exit 75."""
    with (
        TcpProxy(vault.server.port) as line,
        following(
            vault, VAULT_ETL_DATABASE_URL=behind(vault, line), VAULT_ETL_STOP_WITHIN="6"
        ) as run,
    ):
        run.until_ready()
        with line.broken(Fault.BLACKHOLE):
            vault.send(events(MESSAGES))
            run.until(lambda: vault.depth()[1] == MESSAGES)
            run.until(lambda: line.hits[Fault.BLACKHOLE] > 0)
            ends_soon(run, 6, 75)
        assert run.calls("DeleteMessageBatch") == 0
        assert min(run.extended()) >= GIVEN_BACK_S[0]
        assert len(run.extended()) == MESSAGES


def while_sqs_is_silent(vault: Vault) -> None:
    """A long poll under way that gets no answer: exit 75 in time."""
    with following(vault, VAULT_ETL_STOP_WITHIN="4") as run:
        run.until_ready()

        def fault(call: Call) -> Verdict:
            return call.operation == "ReceiveMessage" and run.sqs.silence(call)

        with run.sqs.broken(fault):
            run.until(lambda: run.sqs.hits > 0)
            ends_soon(run, 4, 75)


def after_sqs_fell_silent(vault: Vault) -> None:
    """SQS fell silent, no call is under way, nothing is held: exit 0 in time, without the queue's last word."""
    with following(vault, VAULT_ETL_STOP_WITHIN="6") as run:
        run.until_ready()

        def fault(call: Call) -> Verdict:
            return call.operation != "ReceiveMessage" and run.sqs.silence(call)

        with run.sqs.broken(fault):
            run.until_away("unavailable")
            ends_soon(run, 6, 0)


def ends_soon(run: Following, within: float, code: int) -> None:
    """Assert that ingest ends after SIGTERM with this exit code, in the time that it may take."""
    run.send(signal.SIGTERM)
    began = time.monotonic()
    run.ends(code)
    assert time.monotonic() - began < within + SLOW_S


def at_once(vault: Vault, first: signal.Signals, second: signal.Signals) -> None:
    """The second ends a long poll, and a batch that waits: exit 130, given back, nothing deleted."""
    with following(vault, VAULT_ETL_FOLLOW_WAIT=LONG_POLL_S) as run:
        run.until_ready()
        with locked(vault):
            vault.send(events(MESSAGES))
            waiting_backend(vault)
            run.until(lambda: vault.depth()[1] == MESSAGES)
            run.send(first, second)
            began = time.monotonic()
            run.ends(130)
            assert time.monotonic() - began < URGENT_S + SLOW_S
        assert run.calls("DeleteMessageBatch") == 0
        assert run.rows() == 0
        assert len(run.extended()) == MESSAGES
        assert all(GIVEN_BACK_S[0] <= s <= GIVEN_BACK_S[1] for s in run.extended())


def before_the_first_receive(vault: Vault) -> None:
    """A signal at the start: exit 0 soon, and no long poll is begun."""
    asked = threading.Event()
    heard = threading.Event()

    def wait(_call: Call) -> Verdict:
        asked.set()
        return heard.wait(SECONDS)

    vault.send(events(1))
    with following(vault, kms=wait, VAULT_ETL_FOLLOW_WAIT=LONG_POLL_S) as run:
        assert asked.wait(SECONDS)
        run.send(signal.SIGTERM)
        heard.set()
        began = time.monotonic()
        summary = run.ends(0)
        assert time.monotonic() - began < SLOW_S + 2
        assert summary["received"] == 0
        assert run.calls("ReceiveMessage") == 0
    assert vault.depth() == (1, 0, 0)


CASES = {
    "in a long poll": in_a_long_poll,
    "while nothing comes": while_nothing_comes,
    "with a batch in hand": with_a_batch_in_hand,
    "with deletes to make": with_deletes_to_make,
    "while Postgres is away": while_postgres_is_away,
    "while Postgres is silent": while_postgres_is_silent,
    "while SQS is silent": while_sqs_is_silent,
    "after SQS fell silent": after_sqs_fell_silent,
    "SIGTERM twice": functools.partial(at_once, first=signal.SIGTERM, second=signal.SIGTERM),
    "SIGTERM, then SIGINT": functools.partial(at_once, first=signal.SIGTERM, second=signal.SIGINT),
    "before the first receive": before_the_first_receive,
}


@pytest.mark.parametrize("case", CASES)
def test_a_signal_loses_nothing(cases: Together, case: str) -> None:
    """Committed messages are deleted, and all others are given back, in the time that there is."""
    cases.result(case)
