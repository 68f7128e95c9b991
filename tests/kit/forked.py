"""`vault-etl ARGS` in a process forked from one that has imported it already.

Most of a short command's time is the interpreter's start, its imports, the building of the command
line, the reading of AWS's models, and the freeing of all of it at the end. The tests run thousands of
commands. A fork begins where the first four end, and leaves the last to the kernel: the same code, the
same `-W error`, a process with its own streams, environment, directory and exit. What its imports do,
and how it is started, is for the tests that start a real one (`tests/kit/processes.py`);
`tests/kit/test_forked.py` holds that the two say the same.

    python -W error -P tests/kit/forked.py DESCRIPTOR

A request is one message: JSON with `args`, `env` and `cwd`, and four descriptors: the command's
three streams, and a socket on which its process id and then its exit code are told.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import signal
import socket
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import typer

LONGEST = 64 * 1024
"""Bytes of a request."""


def main() -> None:
    """Serve until the other end is closed. In a command's own process: run it, and end with it."""
    import vault_etl.cli.main as cli  # noqa: PLC0415 - the client needs none of it

    _build_commands(cli.app)
    _read_models()
    gc.collect()
    gc.freeze()  # the forks share it, as long as nothing walks over it
    if _serve(int(sys.argv[1])):
        try:
            cli.main()
        except SystemExit as end:
            _exit(end.code)


def _build_commands(app: typer.Typer) -> None:
    """A command is imported and built when it is run: here once, for all of them."""
    import typer  # noqa: PLC0415

    built: Any = typer.main.get_command(app)
    setattr(typer.main, "get_command", lambda _: built)  # noqa: B010 - mypy forbids the plain form
    for name in built.commands:
        built.commands[name]


def _read_models() -> None:
    """AWS's models are read for each session: here once, for all of them."""
    import botocore.session  # noqa: PLC0415

    botocore.session.create_loader = functools.cache(botocore.session.create_loader)
    for service in ("kms", "sqs", "sts"):
        session = botocore.session.get_session()
        session.create_client(
            service, "us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )


def _exit(code: object) -> NoReturn:
    """Exit as an interpreter does, but without freeing the memory shared with the server.

    What the command itself left behind is freed, so that an open file or socket is warned of.
    """
    assert isinstance(code, int), code
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    gc.collect()
    sys.stdout.flush()
    os._exit(code)


def _serve(descriptor: int) -> bool:
    """True in a command's own process; False when all is over."""
    with socket.socket(fileno=descriptor) as requests:
        while True:
            message, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 4)
            if not message:
                return False
            if os.fork() == 0:
                _become(json.loads(message), descriptors)
                return True
            for each in descriptors:
                os.close(each)
            _reap()


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Return in the command's own process; the one between waits for it and tells how it ended."""
    *streams, telling = descriptors
    pid = os.fork()
    if pid == 0:
        for number, descriptor in enumerate(streams):
            os.dup2(descriptor, number)
        _open_streams()
        for descriptor in descriptors:
            os.close(descriptor)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.argv = ["vault-etl", *request["args"]]
        return
    for descriptor in (0, 1, 2, *streams):
        os.close(descriptor)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=telling) as told, contextlib.suppress(OSError):
        told.send(str(pid).encode())
        _, status = os.waitpid(pid, 0)
        told.send(str(os.waitstatus_to_exitcode(status)).encode())
    os._exit(0)


def _open_streams() -> None:
    """Anew, as an interpreter does when it starts: what the old ones learned of theirs is over."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        old = getattr(sys, name)
        stream = open(  # noqa: SIM115 - for as long as the process lives
            number,
            "w" if number else "r",
            buffering=1 if number == 2 else -1,
            encoding=old.encoding,
            errors=old.errors,
            newline="\n" if number else None,
            closefd=False,
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    main()
