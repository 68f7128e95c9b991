"""The client of `tests/kit/forked.py`: runs a command in a fork to its end, or starts one, as `subprocess` does."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any, Final

from typing_extensions import override

from tests.kit.forked import LONGEST

FORKED: Final = Path(__file__).with_name("forked.py")
PLAIN: Final = ("AWS_", "VAULT_ETL_", "PG", "PATH", "HOME", "TERM")
"""How variables begin that neither an interpreter's start nor an import reads."""
LOCALE: Final = ("LC_ALL", "C.UTF-8")
"""The locale of the forks: an interpreter takes it where no variable names one."""
ENDLESS_S: Final = 600
"""Longer than a test may take."""

_CHUNK: Final = 64 * 1024
_sending = threading.Lock()


def can_fork(args: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Tell whether a fork does what a process would. On macOS the system's libraries may not survive a fork."""
    return (
        sys.platform == "linux"
        and all(name.startswith(PLAIN) for name in dict(environment.items() - {LOCALE}))
        and len(_request(args, environment, Path())) < LONGEST // 2
    )


class Forked(subprocess.Popen[str]):
    """A command in a fork. The server of the forks tells its process id, and then its exit code."""

    def __init__(
        self, args: Sequence[str], told: socket.socket, outputs: Sequence[IO[bytes]]
    ) -> None:
        self.args = list(args)
        self.pid = int(told.recv(_CHUNK))
        self.returncode: Any = None
        self.stdin = None
        texts = [io.TextIOWrapper(io.BufferedReader(output)) for output in outputs]  # type: ignore[type-var]
        self.stdout, self.stderr = texts or (None, None)
        self._told = told

    @override
    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode  # type: ignore[no-any-return]

    @override
    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                self.returncode = int(self._told.recv(_CHUNK))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired(self.args, timeout or 0) from None
            self._told.close()
        return self.returncode  # type: ignore[no-any-return]

    @override
    def communicate(
        self, input: str | None = None, timeout: float | None = None
    ) -> tuple[str, str]:
        assert input is None
        return self.exchange(None, b"", timeout or ENDLESS_S)

    def exchange(self, feed: IO[bytes] | None, left: bytes, seconds: float) -> tuple[str, str]:
        """Write these bytes to the command, and read what it prints, until it ends."""
        ends = time.monotonic() + seconds
        outputs = [each for each in (self.stdout, self.stderr) if each and not each.closed]
        try:
            printed = _exchange([each.fileno() for each in outputs], feed, left, ends)
        except TimeoutError:
            raise subprocess.TimeoutExpired(self.args, seconds) from None
        for each in outputs:
            each.close()
        self.wait(max(0.001, ends - time.monotonic()))
        out, err = printed or ("", "")
        return out, err


def start_forked(
    args: Sequence[str],
    environment: Mapping[str, str],
    directory: Path,
    stdin: int,
    outputs: Sequence[int] = (),
) -> Forked:
    """Start `vault-etl ARGS` in `directory` with these streams, or with pipes for both outputs."""
    with ExitStack() as its:
        told, telling = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        its.enter_context(telling)
        pipes = [] if outputs else [pipe(), pipe()]
        written = [its.enter_context(write).fileno() for _, write in pipes]
        with _sending:
            socket.send_fds(
                server(),
                [_request(args, environment, directory)],
                [stdin, *(outputs or written), telling.fileno()],
            )
    return Forked(args, told, [read for read, _ in pipes])


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
    given, feed = pipe() if stdin else (os.fdopen(os.open(os.devnull, os.O_RDONLY), "rb"), None)
    with given:
        process = start_forked(args, environment, directory, given.fileno())
    with process, feed or contextlib.nullcontext():
        try:
            out, err = process.exchange(
                feed, (stdin or "").encode(errors="surrogateescape"), seconds
            )
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    return subprocess.CompletedProcess(list(args), process.returncode, out, err)


def _request(args: Sequence[str], environment: Mapping[str, str], directory: Path) -> bytes:
    request = {"args": args, "env": dict(environment), "cwd": str(directory)}
    return json.dumps(request).encode()


@functools.cache
def server() -> socket.socket:
    """Start the server of this process and of its forks. The server ends with them, however they end."""
    ours, its = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with its:
        process = subprocess.Popen(
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
        process.wait()

    atexit.register(end)
    return ours


def pipe() -> tuple[IO[bytes], IO[bytes]]:
    """A pipe: what is read, and what is written."""
    read, write = os.pipe()
    return os.fdopen(read, "rb", 0), os.fdopen(write, "wb", 0)


def _exchange(
    outputs: Sequence[int], feed: IO[bytes] | None, left: bytes, ends: float
) -> list[str]:
    """Write what the command is given and read what it prints, until its outputs end."""
    printed = {output: bytearray() for output in outputs}
    still_open = set(outputs)
    with selectors.DefaultSelector() as selector:
        for output in outputs:
            selector.register(output, selectors.EVENT_READ)
        if feed:
            os.set_blocking(feed.fileno(), False)
            selector.register(feed, selectors.EVENT_WRITE)
        while still_open:
            ready = selector.select(max(0.0, ends - time.monotonic()))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if key.fd not in printed:
                    left = _feed(key.fd, left)
                    if not left:
                        selector.unregister(key.fd)
                        assert feed
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
