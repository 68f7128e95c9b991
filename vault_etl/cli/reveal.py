"""`vault-etl reveal`."""

from __future__ import annotations

import uuid
from enum import StrEnum
from typing import Annotated

import typer

from vault_etl.cli.looking import (
    LookOutput,
    LookOutputOption,
    PurposeOption,
    ReasonOption,
    TicketOption,
    look,
    output_format,
    print_value,
)
from vault_etl.cli.output import QuietOption, print_object
from vault_etl.cli.start import VerboseOption, start
from vault_etl.core.audit import Action
from vault_etl.core.fields import PERSONAL_FIELDS, Field
from vault_etl.core.pii import Pii
from vault_etl.services.reveal import Revealed


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
    reason: ReasonOption = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    output: LookOutputOption = None,
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
    why = look("a reveal", reason, purpose, ticket)
    fields = tuple(Field(name) for name in dict.fromkeys(field or [])) or PERSONAL_FIELDS
    program, _ = start(quiet=quiet, verbose=verbose)
    program.check_role("vault_etl_reveal")
    identity = program.identity()
    actor, host = identity.actor(), identity.host()
    for record_id in record_ids:
        request = why.request(Action.REVEAL, record_id, *fields, actor=actor, host=host)
        _print(program.reveal(request.request_id)(request), output)


def _print(revealed: Revealed, output: LookOutput | None) -> None:
    if output is LookOutput.VALUE:
        for value in revealed.fields.values():
            print_value(value.expose() if value else b"")
        return
    print_object(
        {
            "record_id": revealed.record_id,
            "fields": {field.value: _text(value) for field, value in revealed.fields.items()},
            "audit_seq": revealed.receipt.seq,
            "audit_hash": revealed.receipt.hash.hex(),
        },
        output_format(output),
    )


def _text(value: Pii | None) -> str | None:
    return None if value is None else value.expose().decode()
