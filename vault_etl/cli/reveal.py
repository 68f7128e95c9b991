"""`vault-etl reveal`."""

from __future__ import annotations

import sys
import uuid
from enum import StrEnum
from typing import Annotated

import typer

from vault_etl.cli.output import OutputFormat, QuietOption, print_object, printable
from vault_etl.cli.start import VerboseOption, start
from vault_etl.core.audit import (
    MAX_WORD_CHARACTERS,
    Action,
    AuditRequest,
    clean_reason,
    clean_text,
)
from vault_etl.core.fields import PERSONAL_FIELDS, Field
from vault_etl.core.pii import Pii
from vault_etl.errors import UsageError
from vault_etl.services.reveal import Revealed


class RevealOutput(StrEnum):
    """How what was recovered is printed: `value` is the bare values, one a line."""

    TABLE = "table"
    JSON = "json"
    VALUE = "value"


class PersonalField(StrEnum):
    """The fields that can be recovered."""

    IP = "ip"
    DEVICE_ID = "device_id"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reveal")(_reveal)


def _reveal(
    record_ids: Annotated[list[uuid.UUID], typer.Argument(metavar="ID…", help="The record_id.")],
    *,
    field: Annotated[
        list[PersonalField] | None,
        typer.Option("--field", "-f", help="Only this field; may be given twice. [default: both]"),
    ] = None,
    reason: Annotated[
        str | None, typer.Option(help="Why. Asked for on a terminal, needed without one.")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="The kind of reason, for the log.")] = None,
    ticket: Annotated[str | None, typer.Option(help="A reference, for the log.")] = None,
    output: Annotated[
        RevealOutput | None,
        typer.Option("--output", "-o", help="Default: table on a terminal, json in a pipe."),
    ] = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Recover the personal fields of records. Each is an entry in the audit log.

    The entry is committed before KMS is asked, and its outcome before anything is printed: when
    the log cannot be written, nothing is shown (exit 74).

    \b
    Examples:
      vault-etl reveal 019a… --reason "chargeback 4711"
      vault-etl reveal 019a… --field ip --reason "abuse report" --output value
    """
    asked = clean_reason(_reason(reason))
    kind = None if purpose is None else clean_text(purpose, "purpose", MAX_WORD_CHARACTERS)
    reference = None if ticket is None else clean_text(ticket, "ticket", MAX_WORD_CHARACTERS)
    fields = tuple(Field(name) for name in dict.fromkeys(field or [])) or PERSONAL_FIELDS
    program, _ = start(quiet=quiet, verbose=verbose)
    program.check_role("vault_etl_reveal")
    identity = program.identity()
    actor, host = identity.actor(), identity.host()
    for record_id in record_ids:
        request = AuditRequest(
            request_id=uuid.uuid4(),
            action=Action.REVEAL,
            actor=actor,
            host=host,
            reason=asked,
            record_id=record_id,
            fields=fields,
            purpose=kind,
            ticket=reference,
        )
        _print(program.reveal(request.request_id)(request), output)


def _reason(given: str | None) -> str:
    if given is not None:
        return given
    if not sys.stdin.isatty():
        message = "a reveal needs a --reason"
        raise UsageError(message, hint='for example --reason "chargeback 4711"')
    answer: str = typer.prompt("Reason", err=True)
    return answer


def _print(revealed: Revealed, output: RevealOutput | None) -> None:
    values = {field.value: _text(value) for field, value in revealed.fields.items()}
    if output is RevealOutput.VALUE:
        for text in values.values():
            _print_value(text or "")
        return
    print_object(
        {
            "record_id": revealed.record_id,
            "fields": values,
            "audit_seq": revealed.receipt.seq,
            "audit_hash": revealed.receipt.hash.hex(),
        },
        None if output is None else OutputFormat(output.value),
    )


def _print_value(text: str) -> None:
    """Byte for byte in a pipe, whatever the locale; on a terminal, so that it cannot steer it."""
    if sys.stdout.isatty():
        sys.stdout.write(f"{printable(text)}\n")
    else:
        sys.stdout.buffer.write(f"{text}\n".encode())


def _text(value: Pii | None) -> str | None:
    return None if value is None else value.expose().decode()
