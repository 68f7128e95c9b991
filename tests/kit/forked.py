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
import gc
import importlib
import json
import os
import pkgutil
import selectors
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import typer

LONGEST = 64 * 1024
"""Bytes of a request."""
NOT_OF_COMMANDS = ("vault_etl.__main__", "vault_etl.aws_lambda", "vault_etl.local.")
OF_OTHERS = (
    "cachetools.func",
    "cryptography.hazmat.backends.openssl",
    "encodings.idna",
    "rich.cells",
    "rich.console",
    "rich.progress",
    "rich.text",
)
"""What commands, botocore and cryptography import when they need it."""


def main() -> None:
    """Serve until the other end is closed. In a command's own process: run it, and end with it."""
    import vault_etl.cli.main as cli  # noqa: PLC0415 - the client needs none of it

    _import_parts()
    _build_commands(cli.app)
    _remember_events()
    _read_models()
    _render()
    gc.collect()
    gc.freeze()  # the forks share it, as long as nothing walks over it
    if _serve(int(sys.argv[1])):
        try:
            cli.main()
        except SystemExit as end:
            _exit(end.code)


def _import_parts() -> None:
    """A command imports what it needs when it runs: here once, for all of them."""
    import vault_etl  # noqa: PLC0415

    for module in pkgutil.walk_packages(vault_etl.__path__, "vault_etl."):
        if not module.name.startswith(NOT_OF_COMMANDS):
            importlib.import_module(module.name)
    for name in OF_OTHERS:
        importlib.import_module(name)


def _build_commands(app: typer.Typer) -> None:
    """A command is imported and built when it is run: here once, for all of them."""
    import typer  # noqa: PLC0415

    built: Any = typer.main.get_command(app)
    setattr(typer.main, "get_command", lambda _: built)  # noqa: B010 - mypy forbids the plain form
    for name in built.commands:
        built.commands[name]


def _remember_events() -> None:
    """Each client of botocore works out names of events and forms of handlers: here once, for all of them."""
    from botocore import hooks  # noqa: PLC0415

    find = hooks.accepts_kwargs
    forms: dict[Any, Any] = {}

    def accepts_kwargs(handler: Any) -> Any:  # noqa: ANN401 - botocore's
        code = getattr(handler, "__code__", None)
        if code is None:
            return find(handler)
        if code not in forms:
            forms[code] = find(handler)
        return forms[code]

    setattr(hooks, "accepts_kwargs", accepts_kwargs)  # noqa: B010 - mypy forbids the plain form
    make = hooks.EventAliaser.__init__
    names: dict[str, str] = {}

    def remember(self: Any, *arguments: Any) -> None:  # noqa: ANN401 - botocore's
        make(self, *arguments)
        self._alias_name_cache = names

    setattr(hooks.EventAliaser, "__init__", remember)  # noqa: B010 - mypy forbids the plain form


def _read_models() -> None:
    """AWS's models are read by the first command that needs them: here once, for all of them."""
    import botocore.session  # noqa: PLC0415

    from vault_etl.platform.aws_models import share_models  # noqa: PLC0415

    for service in ("kms", "sqs", "sts"):
        session = botocore.session.get_session()
        share_models(session)
        session.create_client(
            service, "us-east-1", aws_access_key_id="none", aws_secret_access_key="none"
        )


def _render() -> None:
    """SQL and migrations are rendered by the first command that needs them: here once, for the default declaration."""
    import vault_etl  # noqa: PLC0415
    from vault_etl.declaration.read import read_declaration  # noqa: PLC0415
    from vault_etl.declaration.sql import LINE, sql_blocks  # noqa: PLC0415
    from vault_etl.platform.resources import resource_dir  # noqa: PLC0415
    from vault_etl.schema.units import units_of  # noqa: PLC0415

    declaration = read_declaration(None)
    units_of(resource_dir("migrations"), declaration)
    package = Path(vault_etl.__file__).parent
    for path in package.rglob("*.sql"):
        if LINE in path.read_text(encoding="utf-8"):
            sql_blocks(path.relative_to(package).as_posix(), declaration)


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
    """Return True in a command's own process, False when all is over.

    No process is between this one and its commands, since each fork takes 6 ms of a processor.
    """
    with socket.socket(fileno=descriptor) as requests, selectors.PollSelector() as selector:
        selector.register(requests, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is not requests:
                    selector.unregister(key.fd)
                    os.close(key.fd)
                    _tell_end(*key.data)
                    continue
                message, descriptors, _, _ = socket.recv_fds(requests, LONGEST, 4)
                if not message:
                    return False
                *streams, telling = descriptors
                pid = os.fork()
                if pid == 0:
                    _close_those_of_others(selector)
                    os.close(telling)
                    _become(json.loads(message), streams)
                    return True
                for each in streams:
                    os.close(each)
                told = socket.socket(fileno=telling)
                _tell(told, pid)
                selector.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, told))


def _tell_end(pid: int, told: socket.socket) -> None:
    _, status = os.waitpid(pid, 0)
    with told:
        _tell(told, os.waitstatus_to_exitcode(status))


def _tell(told: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # the test process may have ended
        told.send(str(number).encode())


def _close_those_of_others(selector: selectors.BaseSelector) -> None:
    """Close what tells the ends of other commands, in a command's own process."""
    for key in selector.get_map().values():
        if key.data:
            os.close(key.fd)
            key.data[1].close()


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Take the streams, environment, directory and arguments of a command."""
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
    _open_streams()
    for descriptor in streams:
        os.close(descriptor)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv = ["vault-etl", *request["args"]]


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


if __name__ == "__main__":
    main()
