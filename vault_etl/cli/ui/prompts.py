"""Asking before what is hard to take back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from vault_etl.audit.entries import MAX_WORD_CHARACTERS, clean_reason, clean_text
from vault_etl.base.errors import IncompleteError, NotFoundError, UsageError
from vault_etl.base.pii import Pii


def confirm(question: str, *, yes: bool) -> None:
    """Go on if `yes`, or if a person at the terminal says so.

    Raises UsageError without a terminal, IncompleteError if the person declines.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        message = "this asks before it goes on, and there is no terminal to ask on"
        raise UsageError(message, hint="add --yes, or --dry-run to see what would happen")
    with ends_its_line():
        agreed = typer.confirm(question, err=True)
    if not agreed:
        message = "declined, nothing was done"
        raise IncompleteError(message)


@contextlib.contextmanager
def ends_its_line() -> Iterator[None]:
    """After a question that Ctrl-C or Ctrl-D answers, what comes next begins a line."""
    try:
        yield
    except typer.Abort:
        sys.stderr.write("\n")
        raise


ReasonOption = Annotated[
    str | None, typer.Option(help="Why. Asked for on a terminal, needed without one.")
]
PurposeOption = Annotated[str | None, typer.Option(help="The kind of reason, for the log.")]
TicketOption = Annotated[str | None, typer.Option(help="A reference, for the log.")]


def reason_for(command: str, given: str | None) -> str:
    """The reason as the log takes it. Raises UsageError if there is none and no terminal to ask on."""
    if given is None and not sys.stdin.isatty():
        message = f"{command} needs a --reason"
        raise UsageError(message, hint='for example --reason "chargeback 4711"')
    if given is None:
        with ends_its_line():
            given = typer.prompt("Reason", err=True)
    return clean_reason(given)


def word(text: str | None, name: str) -> str | None:
    """A purpose or a ticket as the log takes it."""
    return None if text is None else clean_text(text, name, MAX_WORD_CHARACTERS)


MAX_VALUE_BYTES = 4096
"""No field holds a longer one."""

MAX_LIST_BYTES = 64 * 2**20


def read_value(name: str) -> Pii:
    """One value: typed unseen on a terminal, else one line of standard input, read to its end.

    Raises UsageError, without the value, for nothing, more than one line, or what is no UTF-8.
    """
    if sys.stdin.isatty():
        typed: str = typer.prompt(f"Value of {name}", hide_input=True, err=True)
        return _value(typed.encode("utf-8", "surrogateescape"))
    return _value(sys.stdin.buffer.read(MAX_VALUE_BYTES + 2))


def read_values(name: str, limit: int) -> list[Pii]:
    """Values: one typed unseen on a terminal, else one a line of standard input; blank lines are none.

    Raises UsageError, without a value, for nothing, or more lines than `limit`.
    """
    if sys.stdin.isatty():
        return [read_value(name)]
    lines = sys.stdin.buffer.read(limit * MAX_VALUE_BYTES + 1).split(b"\n")
    lines = [line.removesuffix(b"\r") for line in lines]
    found = [Pii(line) for line in lines if line.strip()]
    message = ""
    if not found:
        message = "there is no value on standard input"
    elif max(map(len, lines)) > MAX_VALUE_BYTES:
        message = f"a value on standard input is longer than {MAX_VALUE_BYTES:,} bytes"
    elif len(found) > limit:
        message = f"there are more than {limit:,} values on standard input"
    if message:
        raise UsageError(message, hint="one value a line, for example from a file: < values.txt")
    return found


def read_lines(path: Path | None) -> str:
    """The text of a file, or of standard input, in UTF-8, with or without a byte order mark.

    Raises UsageError for another encoding or more than 64 MiB, NotFoundError for a file that cannot be read.
    """
    content = read_bounded(path, MAX_LIST_BYTES)
    with contextlib.suppress(UnicodeDecodeError):
        if len(content) <= MAX_LIST_BYTES:
            return content.decode("utf-8-sig")
    message = "the list is not UTF-8, or longer than 64 MiB"
    raise UsageError(message, hint="convert it, or take a part of it at a time")


def _value(line: bytes) -> Pii:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if not line or b"\n" in line or len(line) > MAX_VALUE_BYTES:
        message = f"one line of at most {MAX_VALUE_BYTES:,} bytes is wanted on standard input"
        raise UsageError(
            message, hint="one value, in one line, for example from a file: < value.txt"
        )
    return Pii(line)


def read_bounded(path: Path | None, limit: int) -> bytes:
    """The content of a file, or of standard input for None: one byte more than `limit` if it is longer.

    Raises NotFoundError for one that cannot be read.
    """
    try:
        if path is None:
            if sys.stdin.isatty():
                sys.stderr.write("vault-etl: reads standard input; end it with Ctrl-D\n")
            return sys.stdin.buffer.read(limit + 1)
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        message = f"{path or 'standard input'} cannot be read: {error.strerror}"
        raise NotFoundError(message, hint="check the name of the file") from None
