"""SIGKILL loses nothing: what was not committed is stored by the next one, what was is a duplicate to it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.endurance.outages.faults import locked, waiting_backend
from tests.endurance.outages.following import SECONDS, following
from tests.endurance.outages.line import set_visibility
from tests.endurance.outages.together import Together
from tests.kit.events import events
from tests.kit.proxy import Call, Verdict
from tests.kit.vault import Vault

AT_ONCE = 2
MESSAGES = 12


def killed_in_mid_transaction(vault: Vault) -> None:
    """SIGKILL: nothing is stored, and the next one stores all of it once."""
    set_visibility(vault, 5)
    with following(vault) as run:
        run.until_ready()
        with locked(vault):
            vault.send(events(MESSAGES))
            waiting_backend(vault)
            run.until(lambda: vault.depth()[1] == MESSAGES)
            run.process.kill()
            run.process.wait()
    assert vault.count("user_logins") == 0
    summary = settled_by_another_process(vault)
    assert (summary["stored"], summary["duplicates"]) == (MESSAGES, 0)


def killed_before_the_delete(vault: Vault) -> None:
    """SIGKILL after the commit: the next one finds the same messages to be duplicates, and deletes them."""
    set_visibility(vault, 5)
    with following(vault) as run:
        run.until_ready()

        def kill(call: Call) -> Verdict:
            if call.operation != "DeleteMessageBatch":
                return True
            run.process.kill()
            return False

        run.sqs.break_for_good(kill)
        vault.send(events(MESSAGES))
        run.process.wait(SECONDS)
        assert run.sqs.hits > 0
    stored = vault.count("user_logins")
    assert stored > 0
    summary = settled_by_another_process(vault)
    assert (summary["stored"], summary["duplicates"]) == (MESSAGES - stored, stored)


def settled_by_another_process(vault: Vault) -> dict[str, Any]:
    """Run another process over all the messages, once they are seen again, and return its summary."""
    with following(vault) as run:
        run.until_settled(MESSAGES)
        run.until(lambda: run.calls("DeleteMessageBatch") > 0)
        return run.stop()


CASES = {
    "in mid-transaction": killed_in_mid_transaction,
    "before the delete": killed_before_the_delete,
}


@pytest.mark.parametrize("case", CASES)
def test_a_kill_loses_nothing(cases: Together, case: str) -> None:
    """Every message is stored once in the end, and deleted."""
    cases.result(case)
