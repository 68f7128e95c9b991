"""Questions to the person at the terminal, and values from standard input."""

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

ReasonOption = Annotated[
    str | None, typer.Option(help="Why. Prompted for on a terminal, required without one.")
]

PurposeOption = Annotated[str | None, typer.Option(help="The kind of reason, for the log.")]

TicketOption = Annotated[str | None, typer.Option(help="A reference, for the log.")]

MAX_VALUE_BYTES = 4096
"""No field holds a longer value."""

MAX_LIST_BYTES = 64 * 2**20


def confirm(question: str, *, yes: bool) -> None:
    """Return if `yes`, or if the person at the terminal agrees.

    Raises UsageError without a terminal, IncompleteError if the person declines.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        message = "the command asks for confirmation, and there is no terminal to ask on"
        raise UsageError(message, hint="add --yes, or --dry-run to see what would happen")
    with ends_its_line():
        agreed = typer.confirm(question, err=True)
    if not agreed:
        message = "declined, nothing was done"
        raise IncompleteError(message)


@contextlib.contextmanager
def ends_its_line() -> Iterator[None]:
    """End the line of a question that Ctrl-C or Ctrl-D answers."""
    try:
        yield
    except typer.Abort:
        sys.stderr.write("\n")
        raise


def reason_for(command: str, given: str | None) -> str:
    """The reason in the form that the log accepts. Raises UsageError without a reason and a terminal to ask on."""
    if given is None and not sys.stdin.isatty():
        message = f"{command} needs a --reason"
        raise UsageError(message, hint='for example --reason "chargeback 4711"')
    if given is None:
        with ends_its_line():
            given = typer.prompt("Reason", err=True)
    return clean_reason(given)


def word(text: str | None, name: str) -> str | None:
    """A purpose or a ticket in the form that the log accepts."""
    return None if text is None else clean_text(text, name, MAX_WORD_CHARACTERS)


def read_value(name: str) -> Pii:
    """Read one value: typed unseen on a terminal, else one line of standard input, read to its end.

    Values are never read from the command line, which the shell's history keeps. Raises UsageError,
    which does not show the value, for no value, several lines, or text that is not UTF-8.
    """
    if sys.stdin.isatty():
        typed: str = typer.prompt(f"Value of {name}", hide_input=True, err=True)
        return _value(typed.encode("utf-8", "surrogateescape"))
    return _value(sys.stdin.buffer.read(MAX_VALUE_BYTES + 2))


def read_values(name: str, limit: int) -> list[Pii]:
    """Read one value typed unseen on a terminal, else one value a line of standard input, without blank lines.

    Raises UsageError, which shows no value, for no value, a value that is too long, or more than `limit` values.
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
    """Read a file, or standard input for None, in UTF-8, with or without a byte order mark.

    Raises UsageError for another encoding or more than 64 MiB, NotFoundError for a file that cannot be read.
    """
    content = read_bounded(path, MAX_LIST_BYTES)
    with contextlib.suppress(UnicodeDecodeError):
        if len(content) <= MAX_LIST_BYTES:
            return content.decode("utf-8-sig")
    message = "the list is not UTF-8, or is longer than 64 MiB"
    raise UsageError(message, hint="convert the list, or split it")


def _value(line: bytes) -> Pii:
    line = line.removesuffix(b"\n").removesuffix(b"\r")
    if not line or b"\n" in line or len(line) > MAX_VALUE_BYTES:
        message = f"standard input must have one line of at most {MAX_VALUE_BYTES:,} bytes"
        raise UsageError(
            message, hint="one value, in one line, for example from a file: < value.txt"
        )
    return Pii(line)


def read_bounded(path: Path | None, limit: int) -> bytes:
    """Read a file, or standard input for None: at most `limit` bytes, and one more byte if it is longer.

    Raises NotFoundError if it cannot be read.
    """
    try:
        if path is None:
            if sys.stdin.isatty():
                sys.stderr.write("vault-etl: reading standard input; end it with Ctrl-D\n")
            return sys.stdin.buffer.read(limit + 1)
        with path.open("rb") as file:
            return file.read(limit + 1)
    except OSError as error:
        message = f"{path or 'standard input'} cannot be read: {error.strerror}"
        raise NotFoundError(message, hint="check the name of the file") from None
