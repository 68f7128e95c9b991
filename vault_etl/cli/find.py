"""`vault-etl find`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from vault_etl.cli.output import (
    OutputFormat,
    OutputOption,
    QuietOption,
    print_listing,
    wants_json,
)
from vault_etl.cli.reason import PurposeOption, ReasonOption, TicketOption, reason_for, word
from vault_etl.cli.receipt import print_receipt
from vault_etl.cli.reveal import PersonalField
from vault_etl.cli.secret_value import read_value
from vault_etl.cli.start import VerboseOption, start
from vault_etl.core.audit import Action
from vault_etl.core.fields import Field
from vault_etl.core.placeholders import placeholders
from vault_etl.errors import UsageError
from vault_etl.ports.record_finder import MAX_HOLDERS
from vault_etl.services.audit_request import audit_request
from vault_etl.services.find import Found


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("find", context_settings={"allow_extra_args": True})(_find)


def _find(
    context: typer.Context,
    *,
    field: Annotated[PersonalField, typer.Option("--field", "-f", help="Which field holds it.")],
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_HOLDERS, help="The newest records, this many.")
    ] = 100,
    reason: ReasonOption = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Find the records that hold a value. An entry in the audit log, without the value.

    The value is asked for on a terminal, unseen, or read from standard input. Never give it on the
    command line: it would stay in the shell's history. `count` says how many records there are in
    all, listed or not: 1,000 at most are listed. `placeholder` is the value, if it is one that
    stands for no address or device (0.0.0.0, null, unknown, an id of zeros): then its records have
    nothing in common.

    \b
    Examples:
      vault-etl find --field ip --reason "abuse report 4711"
      vault-etl find --field device_id --reason "theft" < device.txt
    """
    if context.args:  # not left to the parser, which would repeat it
        message = "a value is never given on the command line"
        raise UsageError(message, hint="it stands in the shell's history now; see --help")
    asked = reason_for("a search", reason)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    value = read_value(field.value)
    program, _ = start(quiet=quiet, verbose=verbose)
    request = audit_request(
        program.identity(),
        Action.FIND,
        asked,
        fields=(Field(field),),
        purpose=kind,
        ticket=reference,
    )
    program.check_role("vault_etl_reveal", requests=lambda: [request])
    _print(program.find(request.request_id)(request, value, limit), Field(field), output)


def _print(found: Found, field: Field, output: OutputFormat | None) -> None:
    shown = {
        "token": found.token,
        "placeholder": placeholders(field).get(found.token),
        "count": found.holders.count,
        "audit_seq": found.receipt.seq,
        "audit_hash": found.receipt.hash.hex(),
    }
    note = found.receipt.checkpoint
    print_listing(
        {**shown, "checkpoint": note} if wants_json(output) else shown,
        "records",
        (asdict(holder) for holder in found.holders.newest),
        output,
        columns=("record_id", "create_date", "user_id"),
    )
    if not wants_json(output):
        print_receipt(note)
