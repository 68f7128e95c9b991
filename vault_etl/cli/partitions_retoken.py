"""`vault-etl partitions retoken`, for the role re-encrypt: the owner may not open values."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vault_etl.audit.entries import Action, AuditRequest, clean_reason
from vault_etl.audit.log import audit_request
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption, RateOption, YesOption
from vault_etl.cli.ui.output import OutputFormat, OutputOption, QuietOption, print_object
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import ReasonOption, TicketOption, confirm, reason_for, word
from vault_etl.cli.ui.signals import stop_when_told
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.retoken import RetokenPlan


def retoken(
    month: Annotated[
        str, typer.Argument(metavar="MONTH", help="YYYY-MM, or the name of a partition.")
    ],
    *,
    leave_out: Annotated[
        list[LeaveOut] | None,
        typer.Option(
            parser=LeaveOut.parse,
            metavar="WHAT",
            help="Records that get no token if their values do not open or match; may be repeated.",
        ),
    ] = None,
    rate: RateOption = None,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Give the rows of a detached month tokens of the active generation, so that it can be attached.

    For a month that was detached while the token keys were rotated; needs the role re-encrypt. Every
    row is opened, audited. As in a rotation, its old token is computed again and compared, and the
    new token replaces it. A row that does not open, or has a token of another value, is unchanged and
    named; the command then exits 65. WHAT is as for `keys rotate --tokens`.

    Safe to interrupt, to run again, and to run twice at once: a run continues where the last one
    stopped. The old generation can be destroyed when no month has its tokens. The values keep their
    data keys: `keys rotate` re-encrypts them when the month is attached.

    \b
    Examples:
      vault-etl partitions retoken 2024-03 --dry-run
      vault-etl partitions retoken 2024-03 --reason "audit of 2024" --yes
    """
    from vault_etl.app import audit, rotation

    asked = "dry run" if dry_run else reason_for("to open a month", reason)
    parts, _ = start(quiet=quiet, verbose=verbose)

    def request(partition: str) -> AuditRequest:
        return audit_request(
            parts.identity,
            Action.PARTITIONS_RETOKEN,
            clean_reason(f"{partition}: {asked}"),
            fields=parts.declaration.field_names,
            ticket=word(ticket, "ticket"),
        )

    audit.check_role(
        parts,
        *NEEDED_ROLES["partitions retoken"],
        requests=lambda: [] if dry_run else [request(month)],
    )
    plan = rotation.plan_month(parts, month)
    if dry_run or not plan.rows:
        _print(plan, output, rows=0)
        if not (plan.rows or quiet):
            sys.stderr.write(f"vault-etl: all rows have tokens of generation {plan.active}\n")
        return
    confirm(
        f"Open {plan.total} rows of {plan.month.name}, and give them tokens of generation {plan.active}?",
        yes=yes,
    )
    run = request(plan.month.name)
    with progress("retoken", total=plan.total, quiet=quiet) as bar, stop_when_told():
        work = rotation.month_retoken(parts, bar, run.request_id, rate)
        report = work(run, plan, tuple(dict.fromkeys(leave_out or ())))
    _print(plan, output, rows=report.rows, left_out=report.left_out, remaining=0)


def _print(
    plan: RetokenPlan,
    output: OutputFormat | None,
    *,
    rows: int,
    left_out: int = 0,
    remaining: int | None = None,
) -> None:
    print_object(
        {
            "partition": plan.month.name,
            "generation": plan.active,
            "old_generations": {str(number): count for number, count in plan.rows.items()},
            "rows_retokened": rows,
            "rows_left_out": left_out,
            "rows_remaining": plan.total if remaining is None else remaining,
        },
        output,
    )
