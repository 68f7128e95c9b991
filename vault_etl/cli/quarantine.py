"""`vault-etl quarantine`: the group, and `list` and `show`."""

from __future__ import annotations

import sys
import uuid
from typing import TYPE_CHECKING, Annotated

import typer

from vault_etl.audit.entries import Action
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import UsageError
from vault_etl.cli import quarantine_change
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.months import WaitedFor
from vault_etl.cli.ui.options import (
    QUEUE,
    ReasonCodeOption,
    SinceOption,
    SourceOption,
    UntilOption,
    utc,
)
from vault_etl.cli.ui.output import (
    MANY_ROWS,
    MAX_COUNT,
    AccessOutput,
    AccessOutputOption,
    OutputOption,
    QuietOption,
    print_access,
    print_rows,
    print_value,
    readable,
    wants_json,
)
from vault_etl.cli.ui.prompts import (
    PurposeOption,
    ReasonOption,
    TicketOption,
    reason_for,
    word,
)
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.quarantine.read import (
    QuarantinedCount,
    QuarantinedRow,
    QuarantineFilter,
    ShownMessage,
)
from vault_etl.records.months import sent_at

if TYPE_CHECKING:
    pass


app = typer.Typer(
    help="List, show, retry and discard the messages that could not become records.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.command("list")
def _list(
    *,
    reason_code: ReasonCodeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_COUNT, help="At most this many messages, the newest."),
    ] = None,
    summary: Annotated[
        bool, typer.Option("--summary", help="Count messages by reason, path and source instead.")
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show which messages could not become records, and why; the newest last. Needs no key.

    Without --limit, a table shows the newest 50 messages, and JSON shows all. --summary shows counts,
    the times of the first and the last message, and the counts of today and yesterday (UTC). The
    source of a message is `queue`, or the id of the file of the line.

    \b
    Examples:
      vault-etl quarantine list --summary
      vault-etl quarantine list --reason-code not_an_address --limit 20
      vault-etl quarantine list --since 2026-01-31 --output json
    """
    from vault_etl.app import quarantine, records

    if summary and limit is not None:
        message = "--summary excludes --limit: it counts all messages"
        raise UsageError(message, hint="leave one of them out")
    parts, _ = start(quiet=quiet, verbose=verbose)
    wanted = QuarantineFilter(
        reason_code=reason_code.value if reason_code else None,
        since=utc(since),
        until=utc(until),
        source=source,
    )
    reader = quarantine.reader(parts)
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
                f"vault-etl: only the newest {MANY_ROWS} are shown: --limit shows more, --summary counts all\n"
            )
    waited_for = WaitedFor(records.months(parts))
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
    output: AccessOutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Open a quarantined message. As a reveal, it is an entry in the audit log.

    The reveal policy and its quota apply, with the field `quarantine`. The head of the log is signed
    before anything is printed; if that fails, nothing is shown (exit 74). A body that is not UTF-8 is
    printed in base64; `--output value` prints the exact bytes.

    \b
    Examples:
      vault-etl quarantine show 019a… --reason "what does the new app send?"
      vault-etl quarantine show 019a… --reason "bug 4711" --output value
    """
    from vault_etl.app import audit, quarantine, records

    asked = reason_for("an access to a message", reason)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    parts, _ = start(quiet=quiet, verbose=verbose)
    request = audit_request(
        parts.identity,
        Action.QUARANTINE_SHOW,
        asked,
        record_id=record_id,
        fields=(QUARANTINE,),
        purpose=kind,
        ticket=reference,
    )
    audit.check_role(parts, *NEEDED_ROLES["quarantine show"], requests=lambda: [request])
    shown = quarantine.show(parts, request.request_id)(request)
    _print(shown, output)
    if not quiet:
        waited_for = WaitedFor(records.months(parts))
        waited_for.see(shown.row)
        waited_for.tell()


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


def _print(shown: ShownMessage, output: AccessOutput | None) -> None:
    if output is AccessOutput.VALUE:
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
    print_access(values, shown.receipt, output)


app.command("retry")(quarantine_change.retry)
app.command("discard")(quarantine_change.discard)
