"""`vault-etl partitions`: the months of records, for the owner's login."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import typer

from vault_etl.audit.entries import Action, clean_reason
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.cli.partitions_archive import archive, restore
from vault_etl.cli.partitions_change import Change, MonthArgument, shown
from vault_etl.cli.partitions_drop import drop
from vault_etl.cli.partitions_retoken import retoken
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption, Duration, YesOption
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_rows
from vault_etl.cli.ui.prompts import ReasonOption, TicketOption, reason_for, word
from vault_etl.crypto.fields import EventName
from vault_etl.records.months import months_around, months_named

app = typer.Typer(
    help="List, make, detach, archive, drop and restore the months of records.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

_COLUMNS: Final = ("partition", "from", "state", "rows", "bytes", "closed_at")
"""Columns of a table whose lines fit 80 characters; JSON has the event and `until` too."""


@app.command("list")
def _list(
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show every month of each event: its bounds, its state, and the approximate size of its table and indexes.

    A month is `attached`; `detaching` after an interrupted detach; `detached`: its table is in the
    schema vault_etl_detached, where only erasures reach it; `archived`: only its archive has its
    rows; or `dropped`. The last four take no rows: late messages are quarantined as `month_closed`.

    \b
    Examples:
      vault-etl partitions list
      vault-etl partitions list --output json | jq 'select(.state == "detached")'
    """
    from vault_etl.app import partitions

    parts, _ = start(quiet=quiet, verbose=verbose)
    print_rows(
        map(shown, partitions.partitions(parts).partitions()),
        output,
        columns=_COLUMNS,
        empty="there are no partitions: `vault-etl partitions ensure` makes them",
    )


@app.command("ensure")
def _ensure(
    months: Annotated[
        list[str] | None,
        typer.Argument(metavar="MONTH…", help="YYYY-MM of every event, or EVENT_YYYY_MM of one."),
    ] = None,
    *,
    reopen: Annotated[
        bool, typer.Option("--reopen", help="Make a dropped month again, so that it takes rows.")
    ] = False,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make missing partitions: by default of events that are not retired, from two months back to three ahead.

    `ingest` does the same, at its start and once a day. Bounds decide, not names: a partition of
    another tool counts.

    \b
    Examples:
      vault-etl partitions ensure
      vault-etl partitions ensure 2026-01 2026-02
      vault-etl partitions ensure 2026-01 --reopen --reason "restore of ticket 17"
    """
    from vault_etl.app import partitions

    if reopen and not months:
        message = "--reopen needs a MONTH"
        raise UsageError(message, hint="for example: partitions ensure 2026-01 --reopen")
    asked = reason_for("a month that is opened again", reason if reopen else reason or "make it")
    around = months_around(dt.datetime.now(dt.UTC))
    parts, _ = start(quiet=quiet, verbose=verbose)
    events = [event.name for event in parts.declaration.events]
    active = [event.name for event in parts.declaration.active_events]
    wanted = (
        [one for text in months for one in months_named(text, events)]
        if months
        else [(event, month) for month in around for event in active]
    )
    table = partitions.partitions(parts)
    made: dict[tuple[EventName, dt.date], str | None] = {}
    for event, month in wanted:
        request = audit_request(
            parts.identity,
            Action.PARTITIONS_ENSURE,
            clean_reason(f"{event}_{month:%Y_%m}: {asked}"),
            ticket=word(ticket, "ticket"),
        )
        made[event, month] = table.ensure(request, event, month, reopen=reopen)
    print_rows(
        (
            {"event": event, "month": f"{month:%Y-%m}", "partition": name}
            for (event, month), name in made.items()
        ),
        output,
        columns=("event", "month", "partition"),
        empty="",
    )
    if closed := [
        f"{event} {month:%Y-%m}" for (event, month), name in made.items() if name is None
    ]:
        message = f"closed: {', '.join(closed)}"
        raise ConfigurationError(
            message,
            hint="`vault-etl partitions attach` opens a detached month, `restore` and then `attach` an archived one,"
            " and --reopen a dropped one",
        )


@app.command("detach")
def _detach(
    month: MonthArgument,
    *,
    wait: Annotated[
        float,
        typer.Option(
            parser=Duration(),
            help="How long to wait for transactions that use the table: 90s, 10m, 2h.",
            show_default="60s",
            metavar="TIME",
        ),
    ] = 60.0,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Detach a month from the table and close it, audited; only erasures reach its rows then.

    Loaders and queries continue while the command waits for transactions that use the table.
    Messages that are sent in the month from now on are quarantined as `month_closed`. Reveal, find
    and rotations skip a detached month. After an interruption, run it again: it continues.

    \b
    Examples:
      vault-etl partitions detach 2024-03 --dry-run
      vault-etl partitions detach 2024-03 --reason "retention: 24 months" --yes
    """
    Change(
        action=Action.PARTITIONS_DETACH,
        month=month,
        reason=reason,
        ticket=ticket,
        dry_run=dry_run,
        yes=yes,
        output=output,
        quiet=quiet,
        verbose=verbose,
        wait_s=wait,
    )()


@app.command("attach")
def _attach(
    month: MonthArgument,
    *,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Attach a detached month to the table, audited, so that it takes rows again.

    Its rows are read first. If rows have tokens of another generation, which would join nothing, or
    values under destroyed keys, which do not open, the command exits 78 with their number. After the
    attach, an archive of the month is deleted, since the rows can change again.
    `quarantine retry --reason-code month_closed` moves the messages that came meanwhile.

    \b
    Examples:
      vault-etl partitions attach 2024-03 --dry-run
      vault-etl partitions attach 2024-03 --reason "audit of 2024" --yes
    """
    Change(
        action=Action.PARTITIONS_ATTACH,
        month=month,
        reason=reason,
        ticket=ticket,
        dry_run=dry_run,
        yes=yes,
        output=output,
        quiet=quiet,
        verbose=verbose,
    )()


app.command("archive")(archive)
app.command("drop")(drop)
app.command("restore")(restore)
app.command("retoken")(retoken)
