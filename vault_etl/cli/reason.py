"""Why somebody asks: from an option, or from the person at the terminal."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vault_etl.audit.entries import MAX_WORD_CHARACTERS, clean_reason, clean_text
from vault_etl.base.errors import UsageError
from vault_etl.cli.confirm import ends_its_line

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
