"""A command in a fork, as most tests run it, does what a process of its own does."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import pytest

from tests.kit.forking import Forked, can_fork
from tests.kit.processes import finish, start, start_with, terminal
from tests.kit.samples import UNKNOWN
from tests.kit.vault import Vault

TOO_LONG_S = 2


@pytest.mark.parametrize(
    ("role", "args", "stdin", "code"),
    [
        ("analyst", ("--version",), None, 0),
        ("analyst", ("--help",), None, 0),
        ("analyst", ("config",), None, 0),
        ("analyst", ("duplicates", "--field", "ip"), None, 0),
        ("audit", ("keys", "list"), None, 0),
        ("audit", ("audit", "list"), None, 0),
        ("admin", ("audit", "policy", "set", "-", "--reason", "x"), "{", 78),
        ("reveal", ("reveal", "-", "--reason", "x"), "no id\n" * 50_000, 2),
        ("ingest", ("reveal", UNKNOWN, "--reason", "x"), None, 77),
        ("analyst", (), None, 2),
        ("analyst", ("nothing",), None, 2),
        ("admin", ("audit", "policy", "set", "gone", "--reason", "x"), None, 66),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_fork_says_what_a_process_says(
    loaded: Vault, role: str, args: tuple[str, ...], stdin: str | None, code: int
) -> None:
    """Exit code, standard output and standard error, to the byte."""
    forked = loaded.run(role, *args, stdin=stdin)
    process = subprocess.run(
        loaded.command(*args),
        env=loaded.environment(role),
        cwd=loaded.home,
        input=stdin or "",
        capture_output=True,
        text=True,
        check=False,
    )
    assert forked.code == process.returncode == code
    assert (forked.stdout, forked.stderr) == (process.stdout, process.stderr)


@pytest.mark.parametrize(
    ("args", "typed", "code"),
    [
        (("duplicates", "--field", "ip"), None, 0),
        (("duplicates", "--field", "ip", "--output", "json"), None, 0),
        (("--help",), None, 0),
        (("nothing",), None, 2),
        (("find", "--field", "ip"), "\x04", 130),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_fork_shows_on_a_terminal_what_a_process_shows(
    loaded: Vault, args: tuple[str, ...], typed: str | None, code: int
) -> None:
    """Every byte on the screen, and the exit code; a question is asked and broken off alike."""
    shown = []
    for forked in (True, False):
        with terminal(loaded, "analyst", *args, forked=forked) as on_screen:
            assert isinstance(on_screen.process, Forked) is (forked and sys.platform == "linux")
            if typed:
                on_screen.expect(": ")
                on_screen.screen.send(typed)
            shown.append(on_screen.finish())
    assert shown[0] == shown[1]
    assert shown[0].code == code


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_a_fork_as_it_ends_a_process(loaded: Vault, number: signal.Signals) -> None:
    """The exit code and the last words of a command that waits for its database."""
    ends = []
    for forked in (True, False):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            silent.settimeout(10)
            url = f"postgresql://a:b@127.0.0.1:{silent.getsockname()[1]}/c"
            process = start(
                loaded,
                "audit",
                "audit",
                "list",
                extra={"VAULT_ETL_DATABASE_URL": url},
                forked=forked,
            )
            connection, _ = silent.accept()
            with connection:
                assert process.poll() is None
                process.send_signal(number)
                ends.append(finish(process))
    assert ends[0] == ends[1]
    assert ends[0].code != 0


def test_a_reader_that_leaves_ends_a_fork_as_it_ends_a_process(loaded: Vault) -> None:
    """A pipe without a reader, and a device without room: the exit code is the same."""
    for path, code in (("", 141), ("/dev/full", 69)):
        ends = []
        for forked in (True, False):
            reader, writer = os.pipe()
            os.close(reader)
            out = os.open(path, os.O_WRONLY) if path else os.dup(writer)
            process = start_with(
                loaded, "analyst", "--help", streams=(0, out, writer), forked=forked
            )
            ends.append(process.wait(60))
            os.close(out)
            os.close(writer)
        assert ends == [code, code]


def test_an_environment_that_an_interpreter_reads_takes_a_process(loaded: Vault) -> None:
    """A locale, a terminal or a variable of Python's own has its say at the start alone."""
    plain = loaded.environment("analyst")
    assert can_fork(["config"], plain) is (sys.platform == "linux")
    for name in ("LC_ALL", "PYTHONIOENCODING", "PYTHONPATH", "NO_COLOR", "TZ", "HTTPS_PROXY"):
        assert not can_fork(["config"], {**plain, name: "x"})


def test_a_command_that_takes_too_long_is_killed(loaded: Vault) -> None:
    """A command that takes too long is killed, and its connections end with it."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(10)
        url = f"postgresql://a:b@127.0.0.1:{silent.getsockname()[1]}/c"
        with pytest.raises(subprocess.TimeoutExpired):
            loaded.run(
                "audit", "audit", "list", extra={"VAULT_ETL_DATABASE_URL": url}, seconds=TOO_LONG_S
            )
        connection, _ = silent.accept()
        with connection:
            connection.settimeout(10)
            while connection.recv(4096):
                pass
