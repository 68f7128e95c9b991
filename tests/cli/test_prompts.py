"""Questions on a terminal, and the words of a command that waits for input."""

from __future__ import annotations

import signal
import time

import pytest

from tests.kit.processes import terminal
from tests.kit.samples import UNKNOWN
from tests.kit.vault import Vault

SHOWN_BEFORE_S = 0.5
"""CPython's readline shows a question, and then waits: it sleeps through a signal that comes in between."""


@pytest.mark.parametrize(
    ("is_signal", "role", "command", "question"),
    [
        (True, "reveal", ("reveal", UNKNOWN), "Reason: "),
        (False, "re-encrypt", ("keys", "rotate"), "[y/N]: "),
    ],
)
def test_a_question_that_is_broken_off_ends_its_line(
    loaded: Vault, is_signal: bool, role: str, command: tuple[str, ...], question: str
) -> None:
    """After Ctrl-C or Ctrl-D the next text begins a line, and no work was done."""
    before = loaded.count("audit_log")
    with terminal(loaded, role, *command) as shown:
        shown.expect(question)
        if is_signal:
            time.sleep(SHOWN_BEFORE_S)
            shown.process.send_signal(signal.SIGINT)
        else:
            shown.screen.send("\x04")
        done = shown.finish()
    assert done.code == 130
    assert "vault-etl: error: interrupted" in done.stdout.splitlines()[1:]
    assert loaded.count("audit_log") == before


def test_a_command_that_reads_from_a_terminal_says_so(loaded: Vault) -> None:
    """A silent command would seem to hang."""
    with terminal(loaded, "reveal", "tokens", "--field", "ip", "--reason", "x") as shown:
        shown.expect("vault-etl: reading standard input; end it with Ctrl-D")
        shown.screen.send("\x04")
        assert shown.finish().code == 2
