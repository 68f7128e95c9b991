"""The client of `tests/kit/forked.py`: runs a command in a fork to its end, as `subprocess.run` does."""

from __future__ import annotations

import atexit
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

from tests.kit.forked import LONGEST

FORKED: Final = Path(__file__).with_name("forked.py")
PLAIN: Final = ("AWS_", "VAULT_ETL_", "PG", "PATH", "HOME")
"""How variables begin that neither an interpreter's start nor an import reads."""

_CHUNK: Final = 64 * 1024
_sending = threading.Lock()


def can_fork(args: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Tell whether a fork does what a process would. On macOS the system's libraries may not survive a fork."""
    return (
        sys.platform == "linux"
        and all(name.startswith(PLAIN) for name in environment)
        and len(_request(args, environment, Path())) < LONGEST // 2
    )


def run_forked(
    args: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    *,
    stdin: str | None,
    seconds: float,
) -> subprocess.CompletedProcess[str]:
    """Run `vault-etl ARGS` in `directory`, given `stdin` or nothing.

    After so many seconds it is killed, and `subprocess.TimeoutExpired` raised.
    """
    ends = time.monotonic() + seconds
    with ExitStack() as ours:
        told, telling = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.enter_context(told)
        with ExitStack() as its:
            its.enter_context(telling)
            given, feed = _pipe(its, ours)
            if stdin is None:
                given = its.enter_context(Path(os.devnull).open("rb", 0))
            outputs = [_pipe(ours, its) for _ in range(2)]
            streams = [given, *(write for _, write in outputs)]
            request = _request(args, environment, directory)
            descriptors = [*(stream.fileno() for stream in streams), telling.fileno()]
            with _sending:
                socket.send_fds(_server(), [request], descriptors)
        pid = int(told.recv(_CHUNK))
        try:
            out, err = _exchange([read for read, _ in outputs], feed, (stdin or "").encode(), ends)
            told.settimeout(max(0.001, ends - time.monotonic()))
            code = int(told.recv(_CHUNK))
        except TimeoutError:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(list(args), seconds) from None
    return subprocess.CompletedProcess(list(args), code, out, err)


def _request(args: Sequence[str], environment: Mapping[str, str], directory: Path) -> bytes:
    request = {"args": args, "env": dict(environment), "cwd": str(directory)}
    return json.dumps(request).encode()


@functools.cache
def _server() -> socket.socket:
    """The server of this test process; the server ends with this process, however the process ends."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        server = subprocess.Popen(
            [sys.executable, "-W", "error", "-P", str(FORKED), str(its.fileno())],
            env={"PATH": os.defpath},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[its.fileno()],
            start_new_session=True,
        )

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _pipe(reader: ExitStack, writer: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """A pipe; each end is closed with its stack."""
    read, write = os.pipe()
    return (
        reader.enter_context(os.fdopen(read, "rb", 0)),
        writer.enter_context(os.fdopen(write, "wb", 0)),
    )


def _exchange(outputs: Sequence[IO[bytes]], feed: IO[bytes], left: bytes, ends: float) -> list[str]:
    """Write what the command is given and read what it prints, until both of its outputs end."""
    printed = {output.fileno(): bytearray() for output in outputs}
    still_open = set(printed)
    os.set_blocking(feed.fileno(), False)
    with selectors.DefaultSelector() as selector:
        for descriptor in printed:
            selector.register(descriptor, selectors.EVENT_READ)
        if left:
            selector.register(feed.fileno(), selectors.EVENT_WRITE)
        else:
            feed.close()
        while still_open:
            ready = selector.select(max(0.0, ends - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if key.fd not in printed:
                    left = _feed(key.fd, left)
                    if not left:
                        selector.unregister(key.fd)
                        feed.close()
                elif chunk := os.read(key.fd, _CHUNK):
                    printed[key.fd] += chunk
                else:
                    selector.unregister(key.fd)
                    still_open.remove(key.fd)
    return [_text(bytes(text)) for text in printed.values()]


def _feed(descriptor: int, left: bytes) -> bytes:
    """Write some bytes, and return those that are left; none, if the reader has gone."""
    try:
        return left[os.write(descriptor, left) :]
    except BrokenPipeError:
        return b""


def _text(printed: bytes) -> str:
    """Decode as `text=True` of `subprocess` does."""
    return printed.decode().replace("\r\n", "\n").replace("\r", "\n")
