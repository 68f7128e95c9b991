"""Commands that are watched while they run, in a pipe or on a terminal, and how one fails cleanly."""

from __future__ import annotations

import os
import pty
import subprocess
import termios
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pexpect
import psutil
from pexpect import fdpexpect

from tests.kit.forking import can_fork, start_forked
from tests.kit.vault import Result, Vault

SECONDS = 60
TERMINAL = {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"}


def start(
    vault: Vault,
    role: str,
    *args: str,
    extra: Mapping[str, str] | None = None,
    forked: bool = True,
) -> subprocess.Popen[str]:
    """Start `vault-etl ARGS` and return at once, as a fork where that does the same. `finish` ends it."""
    environment = {**vault.environment(role), **(extra or {})}
    if forked and can_fork(args, environment):
        with Path(os.devnull).open("rb", 0) as nothing:
            return start_forked(args, environment, vault.home, nothing.fileno())
    return subprocess.Popen(
        vault.command(*args),
        env=environment,
        cwd=vault.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], seconds: float = SECONDS) -> Result:
    """Wait for its end; what it printed."""
    try:
        stdout, stderr = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    return Result(process.returncode, stdout, stderr)


def start_with(
    vault: Vault,
    role: str,
    *args: str,
    streams: tuple[int, int, int],
    extra: Mapping[str, str] | None = None,
    forked: bool = True,
) -> subprocess.Popen[str]:
    """Start `vault-etl ARGS` with these descriptors as standard input, output and error."""
    environment = {**vault.environment(role), **(extra or {})}
    stdin, stdout, stderr = streams
    if forked and can_fork(args, environment):
        return start_forked(args, environment, vault.home, stdin, (stdout, stderr))
    return subprocess.Popen(
        vault.command(*args),
        env=environment,
        cwd=vault.home,
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        text=True,
    )


@dataclass(frozen=True, slots=True)
class Terminal:
    """A command on a terminal: what it shows, and what is typed to it."""

    process: subprocess.Popen[str]
    screen: pexpect.fdpexpect.fdspawn  # type: ignore[type-arg]

    def expect(self, text: str) -> None:
        """Wait until this is shown."""
        self.screen.expect_exact(text)

    def type(self, line: str) -> None:
        """Type a line."""
        self.screen.sendline(line)

    def finish(self) -> Result:
        """Wait for its end; `stdout` is all that the terminal showed since the last `expect`."""
        self.screen.expect(pexpect.EOF)
        shown = str(self.screen.before).replace("\r\n", "\n")
        return Result(self.process.wait(SECONDS), shown, "")


@contextmanager
def terminal(
    vault: Vault,
    role: str,
    *args: str,
    columns: int = 80,
    extra: Mapping[str, str] | None = None,
    stdout: int | None = None,
    stderr: int | None = None,
    forked: bool = True,
) -> Iterator[Terminal]:
    """Run `vault-etl ARGS` on a terminal of its own, but for the streams given.

    Not `pexpect.spawn`, which forks this process: Python warns of that where there are threads.
    """
    ours, its = pty.openpty()
    termios.tcsetwinsize(its, (24, columns))
    streams = (its, its if stdout is None else stdout, its if stderr is None else stderr)
    extra = {**TERMINAL, **(extra or {})}
    process = start_with(vault, role, *args, streams=streams, extra=extra, forked=forked)
    os.close(its)
    screen = fdpexpect.fdspawn(ours, encoding="utf-8", timeout=SECONDS)
    try:
        yield Terminal(process, screen)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait(SECONDS)
        screen.close()


def on_terminal(
    vault: Vault, role: str, *args: str, columns: int = 80, extra: Mapping[str, str] | None = None
) -> Result:
    """Run a command on a terminal to its end; `stdout` is all that the terminal showed."""
    with terminal(vault, role, *args, columns=columns, extra=extra) as shown:
        return shown.finish()


def fails(result: Result, code: int, *names: str) -> None:
    """Assert that a command exits with `code`, one error line and one hint that name `names`, and prints no data."""
    lines = [line for line in result.stderr.splitlines() if not line.startswith('{"')]  # no logs
    assert result.code == code, result.stderr
    assert len(lines) == 2, lines
    assert lines[0].startswith("vault-etl: error: ")
    assert lines[1].startswith("vault-etl: hint: ")
    assert result.stdout == ""
    for name in names:
        assert name in lines[0], lines[0]


def still_running(processes: Sequence[psutil.Process], seconds: float) -> list[psutil.Process]:
    """Return those that run after so many seconds. An ended process that PID 1 has not yet reaped does not run."""
    _, left = psutil.wait_procs(processes, seconds)
    return [process for process in left if not has_ended(process)]


def has_ended(process: psutil.Process) -> bool:
    """Tell whether the process is gone, or a zombie."""
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
