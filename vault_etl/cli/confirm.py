"""Asking before what is hard to take back."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import typer

from vault_etl.base.errors import IncompleteError, UsageError


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
