"""`vault-etl erase`."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from vault_etl.cli.confirm import confirm
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.output import (
    OutputFormat,
    OutputOption,
    QuietOption,
    print_object,
    wants_json,
)
from vault_etl.cli.reason import ReasonOption, TicketOption, reason_for, word
from vault_etl.cli.receipt import print_receipt
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.user_id import known_user
from vault_etl.core.audit import Action
from vault_etl.core.erasure import NOT_ERASED, Erasable, RecordTarget, Target, UserTarget
from vault_etl.core.fields import PERSONAL_FIELDS, Field
from vault_etl.errors import UsageError
from vault_etl.services.audit_request import audit_request
from vault_etl.services.erase import Certificate


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase")(_erase)


def _erase(
    record_id: Annotated[
        uuid.UUID | None,
        typer.Argument(metavar="ID", help="Of a record, or of a quarantined message."),
    ] = None,
    *,
    user_id: Annotated[
        str | None, typer.Option(help="Instead of an ID: all records of this user.")
    ] = None,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Forget the personal fields of a record or a user, for good.

    Tokens and ciphertexts go, and the body of a quarantined message; the rows stay, and so does the
    entry in the audit log. What is printed is a certificate; it says what an erasure cannot reach,
    backups first of all. Put nothing personal into the reason: it stays.

    \b
    Examples:
      vault-etl erase 019a… --reason "request 17" --dry-run
      vault-etl erase --user-id 4711 --reason "request 17" --ticket DPO-17
    """
    target = _target(record_id, user_id)
    asked = "dry run" if dry_run else reason_for("an erasure", reason)
    reference = word(ticket, "ticket")
    program, _ = start(quiet=quiet, verbose=verbose)
    fields = PERSONAL_FIELDS if record_id is None else tuple(Field)
    request = audit_request(
        program.identity(),
        Action.ERASE,
        asked,
        record_id=record_id,
        fields=fields,
        ticket=reference,
    )
    program.check_role(*NEEDED_ROLES["erase"], requests=lambda: [request])
    erase = program.erase(request.request_id)
    there = erase.preview(target)
    if dry_run:
        print_object(_counts(there), output)
        return
    if there.records or there.bodies:
        confirm(f"Erase {_text(there)} for good?", yes=yes)
    certificate = erase(request, target)
    if not (quiet or certificate.erasure.records or certificate.erasure.bodies):
        typer.echo("it was erased before: nothing was left to erase", err=True)
    _print(certificate, output)
    if certificate.unsigned is not None:
        raise certificate.unsigned


def _target(record_id: uuid.UUID | None, user_id: str | None) -> Target:
    if record_id is not None and user_id is None:
        return RecordTarget(record_id)
    if user_id is not None and record_id is None:
        return UserTarget(known_user(user_id))
    message = "an erasure is of one ID, or of one --user-id"
    raise UsageError(message, hint="not both; `--dry-run` shows what would go")


def _text(there: Erasable) -> str:
    parts = []
    if there.records:
        parts.append(f"the personal fields of {there.records} record{'s' * (there.records > 1)}")
    if there.bodies:
        parts.append("the body of a quarantined message")  # an id has one at most
    return " and ".join(parts)


def _counts(there: Erasable) -> dict[str, object]:
    return {"records": there.records, "quarantined": there.bodies, "audit_seq": None}


def _print(certificate: Certificate, output: OutputFormat | None) -> None:
    erasure = certificate.erasure
    note = None if certificate.checkpoint is None else certificate.checkpoint.note
    shown = {
        "records": erasure.records,
        "quarantined": erasure.bodies,
        "erased_at": erasure.erased_at,
        "audit_seq": erasure.seq,
        "audit_hash": erasure.hash.hex(),
    }
    if wants_json(output):
        print_object({**shown, "checkpoint": note, "not_erased": list(NOT_ERASED)}, output)
        return
    print_object(shown, output)
    typer.echo("\nNot erased:\n" + "\n".join(f"- {line}" for line in NOT_ERASED))
    print_receipt(note)
