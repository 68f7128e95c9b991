"""`vault-etl reveal`."""

from __future__ import annotations

import sys
import uuid
from enum import StrEnum
from typing import Annotated, Final

import typer

from vault_etl.cli.look_output import LookOutput, LookOutputOption, print_look, print_value
from vault_etl.cli.output import QuietOption
from vault_etl.cli.reason import PurposeOption, ReasonOption, TicketOption, reason_for, word
from vault_etl.cli.start import VerboseOption, start
from vault_etl.core.audit import Action
from vault_etl.core.fields import PERSONAL_FIELDS, Field
from vault_etl.core.pii import Pii
from vault_etl.errors import UsageError
from vault_etl.services.audit_request import audit_request
from vault_etl.services.reveal import Revealed

STANDARD_INPUT: Final = "-"
MAX_IDS: Final = 100_000


class PersonalField(StrEnum):
    """The fields that can be recovered."""

    IP = "ip"
    DEVICE_ID = "device_id"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reveal")(_reveal)


def _reveal(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID…", show_default=False, help="The record_id; - or none reads standard input."
        ),
    ] = None,
    *,
    field: Annotated[
        list[PersonalField] | None,
        typer.Option("--field", "-f", help="Only this field; may be given twice. [default: both]"),
    ] = None,
    reason: ReasonOption = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    masked: Annotated[
        bool,
        typer.Option("--masked", help="Only the last octet, or the last two characters."),
    ] = False,
    output: LookOutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Recover the personal fields of records. Each is an entry in the audit log.

    The entry is committed before KMS is asked; its outcome is committed, and the head of the log
    signed, before anything is printed: if that cannot be done, nothing is shown (exit 74). Keep
    the signed note that comes with each record: `audit verify --checkpoint` takes it. What the
    reveal policy does not allow is denied, on the record, for any id (exit 77).

    \b
    Examples:
      vault-etl reveal 019a… --reason "chargeback 4711"
      vault-etl reveal 019a… --field ip --reason "abuse report" --output value
      vault-etl reveal --masked --reason "support call" < ids.txt
    """
    words = ids or [STANDARD_INPUT]
    if STANDARD_INPUT in words and sys.stdin.isatty():
        message = "a reveal needs a record id"
        raise UsageError(message, hint="for example one that `vault-etl find` names")
    asked = reason_for("a reveal", reason)
    record_ids = _record_ids(words)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    fields = tuple(Field(name) for name in dict.fromkeys(field or [])) or PERSONAL_FIELDS
    program, _ = start(quiet=quiet, verbose=verbose)
    requests = (
        audit_request(
            program.identity(),
            Action.REVEAL_MASKED if masked else Action.REVEAL,
            asked,
            record_id=record_id,
            fields=fields,
            purpose=kind,
            ticket=reference,
        )
        for record_id in record_ids
    )
    program.check_role("vault_etl_reveal", requests=lambda: requests)
    for request in requests:
        _print(program.reveal(request.request_id)(request), output)


def _record_ids(words: list[str]) -> list[uuid.UUID]:
    """All of them, before the first is looked at. Raises UsageError for what is no id."""
    found: list[uuid.UUID] = []
    for number, text in enumerate(words, start=1):
        if text == STANDARD_INPUT:
            content = sys.stdin.buffer.read().decode("utf-8", "replace")
            lines = enumerate(content.splitlines(), start=1)
            found += [_record_id(line, f"line {at}") for at, line in lines if line.strip()]
        else:
            found.append(_record_id(text, f"argument {number}"))
    if not found:
        message = "there is no record id on standard input"
        raise UsageError(message, hint="one a line, or on the command line")
    if len(found) > MAX_IDS:
        message = f"these are more than {MAX_IDS:,} records"
        raise UsageError(message, hint="ask for fewer at a time")
    return found


def _record_id(text: str, place: str) -> uuid.UUID:
    """Not quoted if it is none: it may be a value that somebody took for an id."""
    try:
        return uuid.UUID(text.strip())
    except ValueError:
        message = f"{place} is no record id"
        raise UsageError(message, hint="it is a UUID, the record_id of user_logins") from None


def _print(revealed: Revealed, output: LookOutput | None) -> None:
    if output is LookOutput.VALUE:
        for value in revealed.fields.values():
            print_value(value.expose() if value else b"")
        return
    values = {field.value: _text(value) for field, value in revealed.fields.items()}
    shown = {"record_id": revealed.record_id, "fields": values}
    print_look(shown, revealed.receipt, output)


def _text(value: Pii | None) -> str | None:
    return None if value is None else value.expose().decode()
