"""What every look at personal values asks for, and how a bare value is printed."""

from __future__ import annotations

import sys
import uuid
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from vault_etl.cli.output import OutputFormat, printable
from vault_etl.core.audit import (
    MAX_WORD_CHARACTERS,
    Action,
    AuditRequest,
    clean_reason,
    clean_text,
)
from vault_etl.core.fields import Field
from vault_etl.errors import UsageError


class LookOutput(StrEnum):
    """How what was recovered is printed: `value` is the bare value."""

    TABLE = "table"
    JSON = "json"
    VALUE = "value"


ReasonOption = Annotated[
    str | None, typer.Option(help="Why. Asked for on a terminal, needed without one.")
]
PurposeOption = Annotated[str | None, typer.Option(help="The kind of reason, for the log.")]
TicketOption = Annotated[str | None, typer.Option(help="A reference, for the log.")]
LookOutputOption = Annotated[
    LookOutput | None,
    typer.Option("--output", "-o", help="Default: table on a terminal, json in a pipe."),
]


@dataclass(frozen=True, slots=True)
class Look:
    """Why somebody looks, as the log takes it."""

    reason: str
    purpose: str | None
    ticket: str | None

    def request(
        self, action: Action, record_id: uuid.UUID, *fields: Field, actor: str, host: str
    ) -> AuditRequest:
        """A request of its own for one record: each is an entry."""
        return AuditRequest(
            request_id=uuid.uuid4(),
            action=action,
            actor=actor,
            host=host,
            reason=self.reason,
            record_id=record_id,
            fields=fields,
            purpose=self.purpose,
            ticket=self.ticket,
        )


def look(what: str, reason: str | None, purpose: str | None, ticket: str | None) -> Look:
    """Why: as given, or as a person at the terminal answers. `what` is what needs a reason.

    Raises UsageError without a reason and a terminal, and for words that the log does not take.
    """
    return Look(
        clean_reason(_reason(what, reason)),
        None if purpose is None else clean_text(purpose, "purpose", MAX_WORD_CHARACTERS),
        None if ticket is None else clean_text(ticket, "ticket", MAX_WORD_CHARACTERS),
    )


def print_value(value: bytes, *, end: bytes = b"\n") -> None:
    """Byte for byte in a pipe, whatever the locale; on a terminal, so that it cannot steer it."""
    if sys.stdout.isatty():
        sys.stdout.write(f"{printable(value.decode(errors='backslashreplace'))}\n")
    else:
        sys.stdout.buffer.write(value + end)


def output_format(output: LookOutput | None) -> OutputFormat | None:
    """The format of an object, for every output but `value`."""
    return None if output is None else OutputFormat(output.value)


def _reason(what: str, given: str | None) -> str:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        message = f"{what} needs a --reason"
        raise UsageError(message, hint='for example --reason "chargeback 4711"')
    answer: str = typer.prompt("Reason", err=True)
    return answer
