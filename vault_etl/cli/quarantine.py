"""`vault-etl quarantine …`."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.identity import audit_request
from vault_etl.base.errors import DataError, NotFoundError, UsageError
from vault_etl.cli import quarantine_discard
from vault_etl.cli.confirm import confirm
from vault_etl.cli.look_output import (
    LookOutput,
    LookOutputOption,
    print_look,
    print_value,
    readable,
)
from vault_etl.cli.moments import SinceOption, UntilOption, utc
from vault_etl.cli.months_away import WaitedFor, say_what_opens
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.output import (
    MANY_ROWS,
    MAX_COUNT,
    OutputOption,
    QuietOption,
    print_object,
    print_rows,
    wants_json,
)
from vault_etl.cli.progress import progress
from vault_etl.cli.quarantine_filter import QUEUE, ReasonCodeOption, SourceOption
from vault_etl.cli.reason import PurposeOption, ReasonOption, TicketOption, reason_for, word
from vault_etl.cli.start import VerboseOption, start
from vault_etl.crypto.fields import Field
from vault_etl.keys.old import naming
from vault_etl.quarantine.read import (
    QuarantinedCount,
    QuarantinedRow,
    QuarantineFilter,
    ShownMessage,
)
from vault_etl.quarantine.retry import Retried, RetryReport
from vault_etl.records.quarantined import sent_at

if TYPE_CHECKING:
    from vault_etl.app import Program

app = typer.Typer(
    help="List, show, retry and discard the messages that could not be records.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_SHOWN_IDS: Final = 10


@app.command("list")
def _list(
    *,
    reason_code: ReasonCodeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    limit: Annotated[
        int | None, typer.Option(min=1, max=MAX_COUNT, help="The newest ones, this many.")
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Count by reason, path and source instead.")
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show which messages could not be records, and why; the newest last. Needs no key.

    A table shows the newest 50 unless --limit says otherwise; JSON shows all. --summary counts, with
    when the first and the last came, and how many today and yesterday (UTC). The source of a
    message is `queue`, or the id of the file that the line is of.

    \b
    Examples:
      vault-etl quarantine list --summary
      vault-etl quarantine list --reason-code not_an_address --limit 20
      vault-etl quarantine list --since 2026-01-31 --output json
    """
    if summary and limit is not None:
        message = "--summary counts all rows, and takes no --limit"
        raise UsageError(message, hint="leave one of them out")
    program, _ = start(quiet=quiet, verbose=verbose)
    wanted = QuarantineFilter(
        reason_code=reason_code.value if reason_code else None,
        since=utc(since),
        until=utc(until),
        source=source,
    )
    reader = program.quarantine_reader()
    if summary:
        print_rows(
            map(_counted, reader.counts(wanted)),
            output,
            columns=(
                "reason_code",
                "path",
                "count",
                "today",
                "yesterday",
                "oldest",
                "newest",
                "source",
            ),
            empty="nothing is quarantined",
        )
        return
    rows = reader.rows(wanted, limit=limit)
    if limit is None and not wants_json(output):
        newest = list(reader.rows(wanted, limit=MANY_ROWS + 1))
        rows = iter(newest[-MANY_ROWS:])
        if len(newest) > MANY_ROWS and not quiet:
            sys.stderr.write(
                f"vault-etl: the newest {MANY_ROWS}; there are more: --limit shows them, --summary counts\n"
            )
    waited_for = WaitedFor(program.months())
    print_rows(
        (_listed(waited_for.see(row)) for row in rows),
        output,
        columns=(
            "record_id",
            "quarantined_at",
            "reason_code",
            "path",
            "sent_at",
            "receive_count",
            "source",
        ),
        empty="nothing is quarantined",
    )
    if not quiet:
        waited_for.tell()


@app.command("show")
def _show(
    record_id: Annotated[uuid.UUID, typer.Argument(metavar="ID", help="The record_id.")],
    *,
    reason: ReasonOption = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    output: LookOutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Open a quarantined message. It is an entry in the audit log, as a reveal is.

    It is under the reveal policy and its quota, the field being `quarantine`, and the head of the
    log is signed before anything is printed: if that cannot be done, nothing is shown (exit 74).
    A body that is not UTF-8 is printed as base64; `--output value` prints its very bytes.

    \b
    Examples:
      vault-etl quarantine show 019a… --reason "what does the new app send?"
      vault-etl quarantine show 019a… --reason "bug 4711" --output value
    """
    asked = reason_for("a look at a message", reason)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    program, _ = start(quiet=quiet, verbose=verbose)
    request = audit_request(
        program.identity(),
        Action.QUARANTINE_SHOW,
        asked,
        record_id=record_id,
        fields=(Field.QUARANTINE,),
        purpose=kind,
        ticket=reference,
    )
    program.check_role(*NEEDED_ROLES["quarantine show"], requests=lambda: [request])
    shown = program.show_quarantined(request.request_id)(request)
    _print(shown, output)
    if not quiet:
        waited_for = WaitedFor(program.months())
        waited_for.see(shown.row)
        waited_for.tell()


@app.command("retry")
def _retry(
    record_ids: Annotated[
        list[uuid.UUID] | None, typer.Argument(metavar="ID…", help="The record_id.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="Every quarantined message.")] = False,
    reason_code: ReasonCodeOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would move, and move nothing.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Parse quarantined messages again with today's rules; what passes becomes a record.

    It keeps its record id. What still fails stays, with the reason that it had. Safe to interrupt,
    to run again, and while ingest runs. A body that does not open is left as it is and named; the
    command then exits 65. A dry run opens bodies too: both are entries in the audit log.
    Unknown fields are dropped and counted, as by `ingest`. What is of a month that is detached, archived
    or dropped stays, is counted as `month_closed`, and the month is named.

    \b
    Examples:
      vault-etl quarantine retry --all --dry-run
      vault-etl quarantine retry --reason-code not_an_address --yes
      vault-etl quarantine retry 019a… --yes
    """
    if bool(record_ids) + every + (reason_code is not None) != 1:
        message = (
            "a retry needs the ID of a message, or --all, or a --reason-code, and not two of them"
        )
        raise UsageError(message, hint="`vault-etl quarantine list` shows what there is")
    program, settings = start(quiet=quiet, verbose=verbose)
    code = reason_code.value if reason_code else None
    wanted = Retried(list(dict.fromkeys(record_ids)) if record_ids else None, code)
    request = _request(program, wanted, dry_run=dry_run)
    program.check_role(*NEEDED_ROLES["quarantine retry"], requests=lambda: [request])
    counts = program.quarantine_reader().counts(QuarantineFilter(reason_code=code))
    total = len(wanted.only) if wanted.only else sum(count.count for count in counts)
    if not dry_run:
        confirm(f"Retry {total} quarantined message{'s' * (total != 1)}?", yes=yes)
    with progress("retry", total=total, quiet=quiet) as bar:
        retry = program.quarantine_retry(bar, request.request_id)
        look = retry.count if dry_run else retry.move
        report = look(request, wanted, strict=settings.strict)
    print_object(
        {
            "retried": report.retried,
            "moved": report.moved,
            "still_quarantined": report.still_quarantined,
            "month_closed": report.month_closed,
            "not_opened": report.not_opened,
            "not_found": report.not_found,
            "extra_fields": report.extra_fields,
            "extra_field_names": report.extra_field_names,
        },
        output,
    )
    closed = f"{report.month_closed} of these wait for closed months"
    say_what_opens(report.closed, closed)
    _complain(report)


def _request(program: Program, wanted: Retried, *, dry_run: bool) -> AuditRequest:
    what = "every message" if wanted.only is None else f"{len(wanted.only)} messages by their ids"
    if wanted.reason_code is not None:
        what = f"{what} of the reason {wanted.reason_code}"
    return audit_request(
        program.identity(),
        Action.QUARANTINE_RETRY,
        f"{'count what would pass of' if dry_run else 'parse again'} {what}",
        record_id=wanted.only[0] if wanted.only and len(wanted.only) == 1 else None,
        fields=(Field.QUARANTINE,),
    )


def _complain(report: RetryReport) -> None:
    """Of what was not tried, after everything else is done and printed."""
    if report.not_opened:
        message = f"{len(report.not_opened)} messages do not open: {_some(report.not_opened)}"
        raise naming(
            DataError(message, hint="they are left as they were; everything else is done"),
            report.at_fault,
        )
    if report.not_found:
        message = f"{len(report.not_found)} ids are not in quarantine, or erased: {_some(report.not_found)}"
        raise NotFoundError(message, hint="they may be records by now; everything else is done")


def _some(ids: tuple[uuid.UUID, ...]) -> str:
    return ", ".join(str(record_id) for record_id in ids[:_SHOWN_IDS])


def _listed(row: QuarantinedRow) -> dict[str, object]:
    return {
        "record_id": row.record_id,
        "reason_code": row.reason_code,
        "path": row.path,
        "receive_count": row.receive_count,
        "quarantined_at": row.quarantined_at,
        "sent_at": sent_at(row.record_id),
        "source": str(row.source_id or QUEUE),
    }


def _counted(count: QuarantinedCount) -> dict[str, object]:
    return {
        "reason_code": count.reason_code,
        "path": count.path,
        "source": str(count.source_id or QUEUE),
        "count": count.count,
        "today": count.today,
        "yesterday": count.yesterday,
        "oldest": count.oldest,
        "newest": count.newest,
    }


def _print(shown: ShownMessage, output: LookOutput | None) -> None:
    if output is LookOutput.VALUE:
        print_value(shown.body.expose() if shown.body else b"", end=b"")
        return
    body, encoding = (None, None) if shown.body is None else readable(shown.body)
    values = {
        "record_id": shown.row.record_id,
        "reason_code": shown.row.reason_code,
        "path": shown.row.path,
        "body": body,
        "body_encoding": encoding,
    }
    print_look(values, shown.receipt, output)


quarantine_discard.register(app)
