"""KMS throttles, denies, is cut, silent or slow: what can pass is waited for, and nothing is lost."""

from __future__ import annotations

import functools
import itertools
import time

import pytest

from tests.endurance.outages.following import Following, following
from tests.endurance.outages.line import CLOCK_BEHIND, always, set_visibility
from tests.endurance.outages.survival import everything_once, survives
from tests.endurance.outages.together import Together
from tests.kit.events import events
from tests.kit.proxy import Answer, Call, Judge, Verdict
from tests.kit.vault import Vault

AT_ONCE = 4
MESSAGES = 12


def an_outage(vault: Vault, fault: Judge, word: str) -> None:
    """No data key can be had: not ready, nothing received or deleted; then all of it stored once."""
    with following(vault) as run:
        survives(run, run.kms.broken(fault), word)


def throttled_now_and_then(vault: Vault) -> None:
    """A fault of every second call: ingest does not notice."""
    calls = itertools.count()
    with following(vault) as run:
        absorbed(run, lambda _call: "ThrottlingException" if next(calls) % 2 == 0 else True)


def slow(vault: Vault) -> None:
    """Calls that take longer than a message is hidden: it is hidden longer, and no other worker gets it."""
    visibility = 3
    set_visibility(vault, visibility)

    def late(_call: Call) -> Verdict:
        time.sleep(visibility)
        return True

    with following(vault) as run:
        absorbed(run, late)
        assert set(run.extended()) == {visibility}


def silent_for_a_while(vault: Vault) -> None:
    """One call without an answer, and an answer to the next: ingest does not notice."""
    calls = itertools.count()
    with following(vault) as run:
        absorbed(run, lambda call: run.kms.silence(call) if next(calls) == 0 else True)


def absorbed(run: Following, fault: Judge) -> None:
    """Ingest is always ready, and every message is stored once."""
    run.until_ready()
    with run.kms.broken(fault):
        run.vault.send(events(MESSAGES))
        run.until_settled(MESSAGES)
    assert run.was_away() == set()
    everything_once(run, MESSAGES)


def denied_to_a_drain(vault: Vault) -> None:
    """Exit 77 at once, for who started it to see; what was received is given back."""
    vault.send(events(MESSAGES))
    denied = always("AccessDeniedException")
    with following(vault, follow=False, kms=but_decrypt(denied), VAULT_ETL_LINGER="1") as run:
        summary = run.ends(77)
        assert summary["given_back"] == summary["received"] == MESSAGES
        assert len(run.lines("batch")) <= 1
        assert "vault-etl: error: KMS denies this" in run.stderr


def a_clock_that_is_wrong(vault: Vault) -> None:
    """A drain does not take the fault as a refusal: the drain waits, and then says what to check."""
    vault.send(events(MESSAGES))
    wrong = but_decrypt(always(CLOCK_BEHIND))
    with following(vault, follow=False, kms=wrong, VAULT_ETL_OUTAGE_WAIT="3") as run:
        assert run.ends(69)["given_back"] == MESSAGES
        assert "vault-etl: error: KMS finds this machine's clock wrong" in run.stderr
        assert "vault-etl: hint: set the clock" in run.stderr
        assert len(run.lines("batch")) >= 2


def but_decrypt(fault: Judge) -> Judge:
    """Pass the calls that the start needs."""
    return lambda call: True if call.operation in {"Decrypt", "DescribeKey"} else fault(call)


def _outage(verdict: Verdict, word: str = "unavailable") -> functools.partial[None]:
    return functools.partial(an_outage, fault=always(verdict), word=word)


CASES = {
    "throttled": _outage("ThrottlingException"),
    "denied": _outage("AccessDeniedException", "denied"),
    "key disabled": _outage("DisabledException", "key refused"),
    "internal error": _outage(Answer(500)),
    "cut": _outage(verdict=False),
    "clock behind": _outage(CLOCK_BEHIND),
    "throttled now and then": throttled_now_and_then,
    "silent for a while": silent_for_a_while,
    "slow": slow,
    "denied to a drain": denied_to_a_drain,
    "clock behind for a drain": a_clock_that_is_wrong,
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_of_kms_is_waited_for(cases: Together, case: str) -> None:
    """Ingest goes on by itself when it is over; every message is received, stored and deleted once."""
    cases.result(case)
