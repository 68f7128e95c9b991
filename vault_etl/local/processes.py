"""The processes that the stack starts: in the background, as another user, or our own commands.

A background process outlives its starter. A process id alone proves nothing, since the kernel uses
ids again. So each background process has a unique argument (its marker: a path inside the stack's
folder), and is ours only while its argument list, as reported by the kernel, contains that marker.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from vault_etl.base.errors import ConfigurationError
from vault_etl.local.private_files import read_private_json, write_private_json

_POLL_SECONDS = 0.02
_RECORD = "process.json"


@dataclass(frozen=True, slots=True)
class BackgroundProcess:
    """A process id, and the argument that identifies the process."""

    pid: int
    marker: str

    def is_running(self) -> bool:
        """Tell whether this process runs. A zombie, or another process with this id, does not count."""
        return has_argument(self.pid, self.marker)

    def stop(self, *, grace_seconds: float = 10.0) -> None:
        """Send SIGTERM, and SIGKILL after `grace_seconds`. Returns when the process has ended."""
        if self.is_running():
            self._signal(signal.SIGTERM)
            if not self._wait_for_end(grace_seconds):
                self._signal(signal.SIGKILL)
                self._wait_for_end(grace_seconds)
        # Only a process that this process started is its child.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def _wait_for_end(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while self.is_running():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_SECONDS)
        return True


def spawn(
    arguments: Sequence[str],
    *,
    marker: str,
    environment: Mapping[str, str],
    directory: Path,
    log: Path,
) -> BackgroundProcess:
    """Start a process in a session of its own, so that the signals of our terminal do not reach it.

    Its output goes to `log` (mode 0600), and its record to `directory`. If an aborted start left a
    process recorded there, that process is stopped first.
    """
    stop_recorded(directory)
    pid = os.posix_spawn(
        arguments[0],
        list(arguments),
        dict(environment),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    process = BackgroundProcess(pid=pid, marker=marker)
    write_private_json(directory / _RECORD, asdict(process))
    # The kernel reports the arguments of a new process a moment after the call returns.
    while not process.is_running() and os.waitpid(pid, os.WNOHANG) == (0, 0):
        time.sleep(_POLL_SECONDS)
    return process


def stop_recorded(directory: Path) -> bool:
    """Stop the process that `spawn` recorded in `directory`. Return whether it still ran."""
    record = read_private_json(directory / _RECORD)
    process = BackgroundProcess(**record) if record else None
    was_running = process is not None and process.is_running()
    if process:
        process.stop()
        (directory / _RECORD).unlink(missing_ok=True)
    return was_running


def has_argument(pid: int, argument: str) -> bool:
    """Tell whether process `pid` runs and was started with exactly this argument.

    Linux has the argument list in /proc; elsewhere `ps` prints it as one text.
    """
    if Path("/proc/self/cmdline").exists():
        try:
            raw = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return os.fsencode(argument) in raw.split(b"\0")
    shown = subprocess.run(
        ["/bin/ps", "-ww", "-o", "command=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    return f" {argument} " in f" {shown.strip()} "


# Below the ports that Linux (32768 and up), macOS and IANA (49152 and up) give to outgoing connections: one of
# those could take the port before the server that it is for listens.
_SERVER_PORTS = range(20_000, 32_768)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that is free now; another process may still take it first."""
    while not is_port_free(port := secrets.choice(_SERVER_PORTS)):
        pass
    return port


def is_port_free(port: int) -> bool:
    """Tell whether a server could listen on this port of 127.0.0.1."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


_USER = "nobody"  # initdb refuses a user id that has no entry in the list of users


def is_root() -> bool:
    """Tell whether this process runs as root."""
    return os.geteuid() == 0


def give_away(*paths: Path) -> None:
    """As root, make `nobody` the owner of each path, without following links. Otherwise do nothing."""
    if is_root():
        user = pwd.getpwnam(_USER)
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def run_unprivileged(command: Sequence[str], *, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `nobody` if this process is root, in a nearly empty environment.

    PostgreSQL refuses to run as root.
    """
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}
    user = pwd.getpwnam(_USER) if is_root() else None
    return subprocess.run(
        command,
        cwd="/",  # the other user may have no access to the caller's directory
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )


_COMMAND_SECONDS = 120

RunCommand = Callable[[Sequence[str], Mapping[str, str], Path], None]
"""Arguments (without the program), environment, working directory. Raises if the command fails."""


def run_own_command(
    arguments: Sequence[str], environment: Mapping[str, str], directory: Path
) -> None:
    """Run `vault-etl ARGUMENTS` to its end in `directory`, which has no `vault-etl.toml`.

    The command gets only the settings of the stack. Raises ConfigurationError with the command's own
    error and hint.
    """
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "vault_etl", *arguments],
        cwd=directory,
        env={**kept, **nothing, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    if done.returncode == 0:
        return
    said = {
        kind: text
        for line in done.stderr.splitlines()
        for program, kind, text in [[*line.split(": ", 2), "", ""][:3]]
        if program == "vault-etl"
    }
    message = (
        f"vault-etl {' '.join(arguments)} failed: {said.get('error', f'exit {done.returncode}')}"
    )
    raise ConfigurationError(message, hint=said.get("hint"))
