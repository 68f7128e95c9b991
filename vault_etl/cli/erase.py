"""`vault-etl erase`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Mapping
from typing import Annotated

import typer

from vault_etl.audit.entries import Action
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import IncompleteError, UsageError
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.months import warn_of
from vault_etl.cli.ui.options import DryRunOption, YesOption, known_user
from vault_etl.cli.ui.output import (
    OutputFormat,
    OutputOption,
    QuietOption,
    print_object,
    print_receipt,
    wants_json,
)
from vault_etl.cli.ui.printable import printable
from vault_etl.cli.ui.prompts import ReasonOption, TicketOption, confirm, reason_for, word
from vault_etl.erase.erase import (
    NOT_ERASED,
    Certificate,
    Erasable,
    RecordTarget,
    Target,
    UserTarget,
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("erase")(_erase)


def _erase(
    record_id: Annotated[
        uuid.UUID | None,
        typer.Argument(metavar="ID", help="The record_id of a record or a quarantined message."),
    ] = None,
    *,
    user_id: Annotated[
        str | None, typer.Option(help="All records of this user, instead of an ID.")
    ] = None,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Erase the personal fields of a record or a user for good.

    Tokens, ciphertexts and the body of a quarantined message are deleted. The rows stay, and so does
    the entry in the audit log. The output is a certificate, which also says what an erasure cannot
    reach, such as backups. Put nothing personal into the reason: it stays.

    Archives of months that hold values of the record or user, or may hold some, are named, and of a
    user every set too. The erasure is recorded for each of them: `vault-etl lake erase` applies it,
    and a restore does. Until then the erasure is not complete, and the command exits 75.

    \b
    Examples:
      vault-etl erase 019a… --reason "request 17" --dry-run
      vault-etl erase --user-id 4711 --reason "request 17" --ticket DPO-17
    """
    from vault_etl.app import audit
    from vault_etl.app import erase as erasing

    target = _target(record_id, user_id)
    asked = "dry run" if dry_run else reason_for("an erasure", reason)
    reference = word(ticket, "ticket")
    parts, _ = start(quiet=quiet, verbose=verbose)
    declared = parts.declaration
    fields = declared.field_names if record_id is None else declared.data_fields
    request = audit_request(
        parts.identity,
        Action.ERASE,
        asked,
        record_id=record_id,
        fields=fields,
        ticket=reference,
    )
    audit.check_role(parts, *NEEDED_ROLES["erase"], requests=lambda: [request])
    erase = erasing.erase(parts, request.request_id)
    there = erase.preview(target)
    left = erase.unreached_months()
    if dry_run:
        warn_of(left, "not erased from:")
        print_object(_counts(there), output)
        return
    if there.records or there.bodies or there.archives:
        confirm(_question(there), yes=yes)
    certificate = erase(request, target)
    erasure = certificate.erasure
    if not (quiet or erasure.records or erasure.bodies or erasure.archives):
        typer.echo("already erased: there was nothing left to erase", err=True)
    _print(certificate, output)
    warn_of(left, "not erased from:")
    _complain(certificate)


def _target(record_id: uuid.UUID | None, user_id: str | None) -> Target:
    if record_id is not None and user_id is None:
        return RecordTarget(record_id)
    if user_id is not None and record_id is None:
        return UserTarget(known_user(user_id))
    message = "an erasure takes one ID or one --user-id"
    raise UsageError(
        message, hint="give one of them, not both; `--dry-run` shows what would be erased"
    )


def _question(there: Erasable) -> str:
    parts = []
    if there.records:
        parts.append(f"the personal fields of {there.records} record{'s' * (there.records > 1)}")
    if there.bodies:
        parts.append("the body of a quarantined message")  # an id has at most one
    what = " and ".join(parts)
    if not there.archives:
        return f"Erase {what} for good?"
    places = ", ".join(f"{month} in {place}" for month, place in there.archives.items())
    pending = f"record the erasure for {_archives(there.archives)} that may hold values ({printable(places)})"
    if not parts:
        return f"The database holds nothing. {pending[0].upper()}{pending[1:]}?"
    return f"Erase {what} for good, and {pending}?"


def _archives(archives: Mapping[str, str]) -> str:
    return "1 archive or set" if len(archives) == 1 else f"{len(archives)} archives or sets"


def _complain(certificate: Certificate) -> None:
    """Raise at the end for what is not done: archives that still hold values, and a signature that failed."""
    archives = certificate.erasure.archives
    message = f"not complete: {_archives(archives)} may still hold values: {', '.join(archives)}"
    if certificate.unsigned is not None:
        if archives:
            sys.stderr.write(f"vault-etl: warning: {message}\n")
        raise certificate.unsigned
    if archives:
        raise IncompleteError(
            message,
            hint="the erasure is recorded for them: `vault-etl lake erase` takes the values out of their files, and"
            " `partitions archive` out of the archive of a month that has its table too",
        )


def _counts(there: Erasable) -> dict[str, object]:
    return {
        "records": there.records,
        "quarantined": there.bodies,
        "archives": there.archives,
        "audit_seq": None,
    }


def _print(certificate: Certificate, output: OutputFormat | None) -> None:
    erasure = certificate.erasure
    note = None if certificate.checkpoint is None else certificate.checkpoint.note
    shown = {
        "records": erasure.records,
        "quarantined": erasure.bodies,
        "archives": erasure.archives,
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
