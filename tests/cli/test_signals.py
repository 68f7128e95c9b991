"""Signals and broken pipes: exit 0 or 130 after a clean drain, 130 at once, 141 in silence."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.kit.events import events
from tests.kit.processes import SECONDS, fails, finish, start, start_with
from tests.kit.proxy import Call, FaultProxy
from tests.kit.samples import UNKNOWN, a_record
from tests.kit.vault import Result, Vault
from tests.kit.waiting import until


@dataclass(slots=True)
class Signaller:
    """Sends signals to a process when it first makes a call, which is passed on all the same."""

    operation: str
    signals: tuple[signal.Signals, ...]
    pid: int | None = None
    sent: list[signal.Signals] = field(default_factory=list)

    def __call__(self, call: Call) -> bool:
        """Judge a call."""
        if call.operation == self.operation and not self.sent:
            until(lambda: self.pid)
            assert self.pid is not None
            for number in self.signals:
                os.kill(self.pid, number)
                self.sent.append(number)
                time.sleep(0.2)  # two at once would be one
        return True


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_the_first_signal_ends_ingest_after_the_batch_in_hand(
    quick: Vault, number: signal.Signals, code: int
) -> None:
    """The batch in hand is stored and deleted, later messages are given back, and the summary is printed."""
    quick.send(events(30))
    extra = {"VAULT_ETL_BATCH_SIZE": "10"}
    signaller = Signaller("GenerateDataKey", (number,))
    result = run(quick, signaller, "ingest", "ingest", extra=extra)
    assert result.code == code
    summary = result.json
    assert summary["stored"] == summary["deleted"] == quick.count("user_logins") >= 10
    assert summary["received"] == summary["stored"] + summary["given_back"]
    assert "vault-etl: finishing the batch in hand" in result.stderr
    visible, in_flight, _ = quick.depth()
    assert (visible, in_flight) == (30 - summary["received"], summary["given_back"])


def test_the_second_signal_ends_ingest_at_once(quick: Vault) -> None:
    """The second signal deletes nothing, gives the messages back, and exits with 130."""
    quick.send(events(30))
    signaller = Signaller("GenerateDataKey", (signal.SIGINT, signal.SIGINT))
    result = run(quick, signaller, "ingest", "ingest")
    assert result.code == 130
    assert result.stdout == ""
    ours = [line for line in result.stderr.splitlines() if not line.startswith('{"')]  # no logs
    assert ours == ["vault-etl: finishing the batch in hand; a second signal ends at once"]
    assert sum(quick.depth()) == 30


def test_an_interrupted_reveal_shows_nothing_and_is_on_the_record(loaded: Vault) -> None:
    """Ctrl-C while KMS is asked: exit 130, nothing printed, and the outcome says so."""
    record_id, _ = a_record(loaded)
    signaller = Signaller("Decrypt", (signal.SIGINT,))
    result = run(loaded, signaller, "reveal", "reveal", record_id, "--reason", "x")
    assert without_logs(result) == Result(130, "", "")
    outcome = loaded.ok("audit", "audit", "list", "--record", record_id).lines[-1]
    assert (outcome["decision"], outcome["error_code"]) == ("failed", "interrupted")


@pytest.mark.parametrize(
    ("role", "command"),
    [
        ("analyst", ("duplicates", "--field", "ip")),
        ("analyst", ("duplicates", "--field", "ip", "--output", "table")),
        ("audit", ("audit", "list")),
        ("audit", ("keys", "list")),
        ("analyst", ("config",)),
        ("analyst", ("--version",)),
        ("analyst", ("--help",)),
        ("ingest", ("ingest", "--quiet")),
    ],
    ids=lambda value: "" if isinstance(value, str) else "-".join(value),
)
def test_a_reader_that_leaves_ends_the_command_in_silence(
    loaded: Vault, role: str, command: tuple[str, ...]
) -> None:
    """A closed pipe ends a command with exit 141 and without a message."""
    if role == "ingest":
        loaded.renew_queue()  # what other tests left in it is not for this vault
    assert run_unread(loaded, role, *command) == Result(141, "", "")


def test_a_reader_that_leaves_in_the_middle_ends_the_command_in_silence(loaded: Vault) -> None:
    """A closed pipe ends a long output as well: exit 141 and no message."""
    ids = [str(record_id) for (record_id,) in loaded.sql("SELECT record_id FROM user_logins")]
    result = run_unread(loaded, "reveal", "reveal", *ids, "--reason", "x")
    assert without_logs(result) == Result(141, "", "")


def test_an_unread_error_keeps_its_exit_code(loaded: Vault) -> None:
    """The exit code 77 stays, even if standard error is closed too."""
    assert run_unread(loaded, "analyst", "keys", "list", stderr=True).code == 77


def test_a_full_disk_is_told_and_is_no_bug(loaded: Vault) -> None:
    """Output that cannot be written is an error that says so."""
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            loaded.command("duplicates", "--field", "ip"),
            env=loaded.environment("analyst"),
            cwd=loaded.home,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    fails(Result(done.returncode, "", done.stderr), 69, "No space left on device")


def test_closed_streams_are_nowhere_to_write(loaded: Vault) -> None:
    """A command does its work with all three standard streams closed, and writes into no other file."""
    entries = loaded.count("audit_log")
    shell = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"]
    command = loaded.command("reveal", UNKNOWN, "--reason", "x")
    done = subprocess.run(
        [*shell, *command], env=loaded.environment("reveal"), cwd=loaded.home, check=False
    )
    assert done.returncode == 66
    assert loaded.count("audit_log") == entries + 2


def run(
    vault: Vault, signaller: Signaller, role: str, *args: str, extra: dict[str, str] | None = None
) -> Result:
    """Run a command with the signaller before KMS."""
    with FaultProxy(vault.endpoint, signaller) as kms:
        process = start(
            vault, role, *args, extra={"AWS_ENDPOINT_URL_KMS": kms.url, **(extra or {})}
        )
        signaller.pid = process.pid
        result = finish(process)
    assert tuple(signaller.sent) == signaller.signals
    return result


def run_unread(vault: Vault, role: str, *args: str, stderr: bool = False) -> Result:
    """Run a command whose standard output, and error if so said, is a pipe without a reader."""
    reader, writer = os.pipe()
    os.close(reader)
    with tempfile.TemporaryFile("w+") as told, Path(os.devnull).open("rb") as nothing:
        streams = (nothing.fileno(), writer, writer if stderr else told.fileno())
        code = start_with(vault, role, *args, streams=streams).wait(SECONDS)
        os.close(writer)
        told.seek(0)
        return Result(code, "", told.read())


def without_logs(result: Result) -> Result:
    """The result without the logged checkpoints, which are signed before a value is shown."""
    lines = result.stderr.splitlines(keepends=True)
    unlogged = "".join(line for line in lines if '"event": "checkpoint"' not in line)
    return Result(result.code, result.stdout, unlogged)
