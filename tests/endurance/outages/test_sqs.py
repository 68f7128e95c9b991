"""SQS throttles, fails, is cut or silent, or finds the credentials or the clock wrong; and deletes that fail."""

from __future__ import annotations

import functools
import json
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.endurance.outages.faults import locked, waiting_backend
from tests.endurance.outages.following import Following, following
from tests.endurance.outages.line import CLOCK_AHEAD, Line, always, entries, set_visibility
from tests.endurance.outages.survival import everything_once
from tests.endurance.outages.together import Together
from tests.kit.events import events
from tests.kit.proxy import Answer, Call, Judge, Verdict
from tests.kit.tcp_proxy import HOST, Fault, TcpProxy
from tests.kit.vault import Vault

AT_ONCE = 4
MESSAGES = 12
DELETE_TRIES = 3


def an_outage(vault: Vault, fault: Callable[[Line], Judge], word: str) -> None:
    """Messages in hand are stored meanwhile, and deleted after the outage; later messages are stored too."""
    with following(vault) as run:
        run.until_ready()
        with ExitStack() as broken:
            with locked(vault):
                vault.send(events(MESSAGES))
                waiting_backend(vault)
                run.until(lambda: vault.depth()[1] == MESSAGES)
                broken.enter_context(run.sqs.broken(fault(run.sqs)))
            run.until(lambda: run.rows() == MESSAGES)
            run.until_away(word)
            vault.send(events(MESSAGES))
        run.until_ready()
        run.until_settled(2 * MESSAGES)
        everything_once(run, 2 * MESSAGES)


def silent(vault: Vault) -> None:
    """Long polls without an answer are given up 5 s after their time."""
    an_outage(vault, lambda line: line.silence, "unavailable")


def reset(vault: Vault) -> None:
    """Every connection is reset, those of long polls under way too."""
    port = int(vault.endpoint.rpartition(":")[2])
    with (
        TcpProxy(port) as line,
        following(vault, AWS_ENDPOINT_URL_SQS=f"http://{HOST}:{line.port}") as run,
    ):
        run.until_ready()
        with line.broken(Fault.RESET):
            run.until_away("unavailable")
        assert line.hits[Fault.RESET] >= 1
        run.until_ready()
        vault.send(events(MESSAGES))
        run.until_settled(MESSAGES)
        summary = run.stop()
        assert summary["stored"] == summary["deleted"] == MESSAGES


def no_queue(vault: Vault) -> None:
    """Exit 78 at once: no time mends that. What is in hand is stored."""
    with following(vault) as run:
        run.until_ready()
        vault.send(events(MESSAGES))
        run.until_settled(MESSAGES)
        with run.sqs.broken(always("QueueDoesNotExist")):
            assert run.ends(78)["stored"] == MESSAGES
        assert "vault-etl: error: SQS has no such queue" in run.stderr


def denied_to_a_drain(vault: Vault) -> None:
    """Exit 77 at once: who started it is there to look."""
    vault.send(events(MESSAGES))
    with following(vault, follow=False) as run, run.sqs.broken(receiving("ExpiredTokenException")):
        assert run.ends(77)["received"] == 0
        assert run.calls("ReceiveMessage") <= 4  # one a receiver
    assert vault.depth() == (MESSAGES, 0, 0)


def clock_ahead_for_a_drain(vault: Vault) -> None:
    """A fault that is no refusal: ingest waits, and then says what to check."""
    vault.send(events(MESSAGES))
    with (
        following(vault, follow=False, VAULT_ETL_OUTAGE_WAIT="3") as run,
        run.sqs.broken(receiving(CLOCK_AHEAD)),
    ):
        run.until(lambda: run.calls("ReceiveMessage") > 0)
        refused_at = time.monotonic()
        run.ends(69)
        assert time.monotonic() - refused_at > 1  # of the 3 s, from the first refusal on
        assert "vault-etl: error: SQS finds this machine's clock wrong" in run.stderr
        assert run.calls("ReceiveMessage") > 2


def a_delete_refused_once(vault: Vault) -> None:
    """A delete that was refused is tried again, and no message comes twice."""
    with following(vault) as run:
        run.until_ready()
        with run.sqs.broken(deleting(lambda tries: tries <= 1)):
            vault.send(events(MESSAGES))
            run.until_settled(MESSAGES)
        assert set(delete_tries(run).values()) == {2}
        everything_once(run, MESSAGES)


def a_delete_refused_always(vault: Vault) -> None:
    """A message whose delete is always refused is left after three tries, comes again, and is a duplicate."""
    set_visibility(vault, 3)
    with following(vault) as run:
        run.until_ready()
        with run.sqs.broken(deleting(lambda _tries: True)):
            vault.send(events(MESSAGES))
            run.until(lambda: list(delete_tries(run).values()).count(DELETE_TRIES) >= MESSAGES)
            run.until(lambda: vault.depth()[0] > 0 or run.most_receives() > 1)
        run.until_settled(MESSAGES)
        run.sqs.early.clear()  # of handles, of which a message has a new one at each receive
        summary = run.stop()
        assert max(delete_tries(run).values()) == DELETE_TRIES
        assert summary["stored"] == summary["deleted"] == MESSAGES
        assert summary["duplicates"] >= MESSAGES


def delete_tries(run: Following) -> Counter[object]:
    """Count how often each handle was to be deleted."""
    return Counter(
        entry["ReceiptHandle"]
        for call in run.queue.calls
        if call.operation == "DeleteMessageBatch"
        for entry in entries(call)
    )


def deleting(refused: Callable[[int], bool]) -> Judge:
    """A DeleteMessageBatch all of whose entries fail, if `refused` says so of the number of the try."""
    tries: Counter[object] = Counter()

    def judge(call: Call) -> Verdict:
        if call.operation != "DeleteMessageBatch":
            return True
        wanted = entries(call)
        tries.update(entry["ReceiptHandle"] for entry in wanted)
        if not refused(min(tries[entry["ReceiptHandle"]] for entry in wanted)):
            return True
        failed = [{"Id": e["Id"], "SenderFault": False, "Code": "InternalError"} for e in wanted]
        return json.dumps({"Successful": [], "Failed": failed}).encode()

    return judge


def receiving(verdict: Verdict) -> Judge:
    """Receives meet this, and the start does not."""
    return lambda call: verdict if call.operation == "ReceiveMessage" else True


def _outage(verdict: Verdict, word: str = "unavailable") -> functools.partial[None]:
    return functools.partial(an_outage, fault=lambda _line: always(verdict), word=word)


CASES = {
    "silent": silent,
    "throttled": _outage("ThrottlingException"),
    "internal error": _outage(Answer(500)),
    "not available": _outage(Answer(503)),
    "cut": _outage(verdict=False),
    "credentials expired": _outage("ExpiredTokenException", "denied"),
    "clock ahead": _outage(CLOCK_AHEAD),
    "request expired": _outage("RequestExpired"),
    "reset": reset,
    "no queue": no_queue,
    "denied to a drain": denied_to_a_drain,
    "clock ahead for a drain": clock_ahead_for_a_drain,
    "a delete refused once": a_delete_refused_once,
    "a delete refused always": a_delete_refused_always,
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_of_sqs_loses_nothing(cases: Together, case: str) -> None:
    """Ingest waits while a fault can pass; messages in hand are stored, and no message is stored twice."""
    cases.result(case)
