"""An ingest with workers, as processes: found, waited for, signalled."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

import psutil

from tests.kit.processes import finish, start
from tests.kit.vault import Result, Vault

SECONDS = 30
LOOK_S = 0.05
PIPE_BYTES = 2**20
"""What Linux gives any user; 64 KiB, or 150 batches, unless it is asked."""

ON_ITS_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execv(sys.argv[1], sys.argv[1:])"
)
"""Makes standard input the controlling terminal, whose Ctrl-C is a signal to its foreground group."""


@contextmanager
def running(
    vault: Vault, *args: str, workers: int = 2, extra: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """`vault-etl ingest --workers`; nothing of it is left afterwards."""
    parent = start(
        vault, "ingest", "ingest", "--workers", str(workers), *args, extra=extra, forked=False
    )
    assert parent.stderr is not None
    # A line a batch, which no process reads before the end: a full pipe would stop the worker.
    fcntl.fcntl(parent.stderr, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    try:
        yield parent
    finally:
        kill_all(vault)
        with suppress(ValueError):  # its output was read
            parent.communicate(timeout=SECONDS)


def kill_all(vault: Vault) -> None:
    """End whatever works in this vault's folder, workers whose parent is gone too."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.cwd() == str(vault.home):
                process.kill()


def workers_of(pid: int) -> list[psutil.Process]:
    """The workers that run now."""
    with suppress(psutil.NoSuchProcess):
        children = psutil.Process(pid).children()
        return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]
    return []


def listening(vault: Vault, workers: int) -> bool:
    """Tell whether the server shows so many workers connected to the database. A worker connects before it receives."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'test_ingest'"
        " AND application_name ~ '^vault-etl ingest worker [0-9]+$'"
    )
    return vault.sql(query) == [(workers,)]


def stopped(parent: subprocess.Popen[str], *numbers: signal.Signals) -> Result:
    """Send these signals; how it ended."""
    for number in numbers:
        parent.send_signal(number)
        time.sleep(0.3)  # two at once would be one
    return finish(parent, SECONDS)


def on_its_terminal(vault: Vault, terminal: int, *args: str) -> subprocess.Popen[bytes]:
    """Start `vault-etl ARGS` as the foreground job of a terminal; its output is no terminal's."""
    return subprocess.Popen(
        [sys.executable, "-c", ON_ITS_TERMINAL, *vault.command(*args)],
        env=vault.environment("ingest"),
        cwd=vault.home,
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def session_of(pid: int) -> int:
    """The session of a process."""
    return os.getsid(pid)
