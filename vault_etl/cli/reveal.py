"""`vault-etl reveal`."""

from __future__ import annotations

import contextlib
import sys
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import UsageError, VaultEtlError
from vault_etl.base.text import uuid_of
from vault_etl.cli.evidence import EvidenceFile
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.reveal_output import RevealOutput, Shown, evidence_form, form_of_file, warn
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import field_option, named_fields
from vault_etl.cli.ui.months import warn_of
from vault_etl.cli.ui.options import UserIdOption, known_user
from vault_etl.cli.ui.output import QuietOption
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import PurposeOption, ReasonOption, TicketOption, reason_for, word
from vault_etl.records.unattached_months import UnsearchedMonths, no_record_of_user
from vault_etl.reveal.reveal import RevealBatch, must_be_within_quota

if TYPE_CHECKING:
    from vault_etl.app.audit import LastCheckpoint
    from vault_etl.app.parts import Parts


STANDARD_INPUT: Final = "-"
MAX_IDS: Final = 100_000


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reveal")(_reveal)


def _reveal(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID…", show_default=False, help="Record ids; - or no ID reads standard input."
        ),
    ] = None,
    *,
    user_id: UserIdOption = None,
    field: Annotated[
        list[str] | None,
        field_option("Only this field; may be repeated. [default: all]"),
    ] = None,
    reason: ReasonOption = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    masked: Annotated[
        bool,
        typer.Option(
            "--masked", help="Show a mask: only the last octet, or the last two characters."
        ),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_IDS, help="At most this many records, the first ones."),
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option(
            help="Write evidence into this file, with mode 0600, instead of standard output."
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue that file: skip the records in it.")
    ] = False,
    output: Annotated[
        RevealOutput | None,
        typer.Option("--output", "-o", help="Default: table on a terminal, json in a pipe."),
    ] = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Recover the personal fields of records. Each record has an entry in the audit log.

    The entry is committed before KMS is asked. Its outcome is committed, and the head of the log
    signed, before anything is printed; if that fails, nothing is shown (exit 74). Keep the signed
    note at the end of the output: `audit verify --checkpoint` takes it. An access that the reveal
    policy does not allow is denied and logged, whether the record exists or not (exit 77).

    The quota is checked before the first of many records. A record that does not exist (exit 66)
    or does not open (exit 65) is named, and the others continue; if its month is detached, archived
    or dropped, the warning says where its rows are. `--output csv` and `json` are evidence: record,
    user, date, values, login, time, reason, ticket, and the entry. A CSV cell that a spreadsheet
    would take for a formula begins with '. `--resume` continues a run with the same reason, purpose,
    ticket and fields. `--user-id` counts as one access to search the user's records, and one for
    each record.

    \b
    Examples:
      vault-etl reveal 019a… --reason "chargeback 4711"
      vault-etl reveal 019a… --field ip --reason "abuse report" --output value
      vault-etl reveal --user-id 4711 --reason "request 17" --to 17.json
      vault-etl reveal --reason "case 12" --to case-12.csv < ids.txt
      vault-etl reveal --reason "case 12" --to case-12.csv --resume < ids.txt
    """
    from vault_etl.app import audit
    from vault_etl.app.audit import LastCheckpoint

    words = ids or ([STANDARD_INPUT] if user_id is None else [])
    if user_id is not None and ids:
        message = "a reveal takes record ids or one --user-id, not both"
        raise UsageError(message, hint="leave one of them out")
    if STANDARD_INPUT in words and sys.stdin.isatty():
        message = "a reveal needs a record id"
        raise UsageError(message, hint="`vault-etl find` shows record ids")
    if resume and to is None:
        message = "--resume continues a file"
        raise UsageError(message, hint="name it with --to")
    output = output if to is None else form_of_file(output, to)
    asked = reason_for("a reveal", reason)
    record_ids = _record_ids(words) if user_id is None else []
    user = None if user_id is None else known_user(user_id)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    parts, _ = start(quiet=quiet, verbose=verbose, is_traced=True)
    declared = parts.declaration.field_names
    fields = named_fields(field or (), declared) or declared
    request = audit_request(
        parts.identity,
        Action.REVEAL_MASKED if masked else Action.REVEAL,
        asked,
        fields=fields,
        purpose=kind,
        ticket=reference,
    )
    audit.check_role(
        parts, *NEEDED_ROLES["reveal"], requests=lambda: _of_each(request, record_ids or [None])
    )
    with LastCheckpoint() as keep:
        if user is not None:
            record_ids = _records_of(parts, request, user, keep)
        with _file(parts, to, output, request, resume=resume) as file:
            done = file.done if file else frozenset()
            left = _of_each(request, [i for i in record_ids if i not in done][:limit])
            shown = Shown(output, request, file, parts.declaration)
            _reveal_all(parts, left, shown, keep, watched=to is not None and not quiet)


def _of_each(
    request: AuditRequest, record_ids: Sequence[uuid.UUID | None]
) -> Sequence[AuditRequest]:
    """The same request for each record, each with its own request id."""
    return [replace(request, request_id=uuid.uuid4(), record_id=one) for one in record_ids]


def _records_of(
    parts: Parts, request: AuditRequest, user_id: str, keep: LastCheckpoint
) -> list[uuid.UUID]:
    """The records of a user, by an access of its own. Raises NotFoundError without records."""
    from vault_etl.app import find, records

    search = replace(request, request_id=uuid.uuid4(), action=Action.FIND, fields=())
    with UnsearchedMonths(records.months(parts)) as left:
        found, _ = find.find_user(parts, search.request_id, keep)(search, user_id)
    warn_of(left.months)
    if not found.count:
        raise no_record_of_user(left.months)
    if found.count > len(found.newest):
        warn(
            "--user-id",
            f"{found.count} records, of which only the newest {len(found.newest)} are revealed",
        )
    return [holder.record_id for holder in found.newest]


@contextlib.contextmanager
def _file(
    parts: Parts,
    to: Path | None,
    output: RevealOutput | None,
    request: AuditRequest,
    *,
    resume: bool,
) -> Iterator[EvidenceFile | None]:
    if to is None or output is None:
        yield None
        return
    file = EvidenceFile(
        to,
        evidence_form(output, request, parts.declaration),
        request,
        parts.declaration,
        resume=resume,
    )
    with contextlib.closing(file):
        yield file


def _reveal_all(
    parts: Parts,
    requests: Sequence[AuditRequest],
    shown: Shown,
    keep: LastCheckpoint,
    *,
    watched: bool,
) -> None:
    """Reveal and print each record, and raise the error of those that failed at the end."""
    from vault_etl.app import audit, reveal

    if not requests:
        typer.echo("the file has every record already", err=True)
    quota = audit.policy(parts).allowance().accesses
    must_be_within_quota(len(requests), quota, fewer=f"--limit {quota.left} reveals the first ones")
    batch = RevealBatch(lambda request: reveal.reveal(parts, request.request_id, keep)(request))
    try:
        bar = progress("reveal", total=len(requests), quiet=False) if watched else None
        with bar or contextlib.nullcontext() as live:
            for revealed in batch.run(requests, warn):
                shown.add(revealed)
                if live:
                    live.advance(1)
    except (VaultEtlError, KeyboardInterrupt):
        if shown.count:
            sys.stderr.write(f"vault-etl: {shown.count} of {len(requests)} records are revealed\n")
        raise
    finally:
        shown.end()
    batch.complain(len(requests))


def _record_ids(words: list[str]) -> list[uuid.UUID]:
    """Parse all record ids, each once, before the first access. Raises UsageError for other text."""
    found: list[uuid.UUID] = []
    for number, text in enumerate(words, start=1):
        if text == STANDARD_INPUT:
            content = sys.stdin.buffer.read().decode("utf-8", "replace")
            lines = enumerate(content.splitlines(), start=1)
            found += [_record_id(line, f"line {at}") for at, line in lines if line.strip()]
        else:
            found.append(_record_id(text, f"argument {number}"))
    found = list(dict.fromkeys(found))
    if not found:
        message = "there is no record id on standard input"
        raise UsageError(message, hint="give one id a line, or ids on the command line")
    if len(found) > MAX_IDS:
        message = f"there are more than {MAX_IDS:,} record ids"
        raise UsageError(message, hint="give fewer at a time")
    return found


def _record_id(text: str, place: str) -> uuid.UUID:
    """Parse one record id. The error does not quote the text: it may be a personal value."""
    try:
        return uuid_of(text.strip())
    except ValueError:
        message = f"{place} is not a record id"
        raise UsageError(
            message, hint="a record id is a UUID, the record_id of its record"
        ) from None
