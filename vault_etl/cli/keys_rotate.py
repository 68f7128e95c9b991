"""`vault-etl keys rotate`: data keys here, the token keys in `keys_rotation`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.identity import audit_request
from vault_etl.base.errors import DataError, UsageError
from vault_etl.cli import keys_rotation
from vault_etl.cli.keys_rotation import is_due, print_report
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import Duration
from vault_etl.cli.ui.output import OutputFormat, OutputOption, QuietOption
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import confirm
from vault_etl.cli.ui.signals import stop_when_told
from vault_etl.crypto.fields import Field, KeyPurpose
from vault_etl.keys.old import naming
from vault_etl.rotation.data_keys import RotationPlan
from vault_etl.rotation.leave_out import LeaveOut

if TYPE_CHECKING:
    from vault_etl.app import Program

WAIT_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """How to run, whatever is rotated."""

    if_due: bool
    rate: float | None
    dry_run: bool
    yes: bool
    output: OutputFormat | None
    quiet: bool


def rotate(
    *,
    field: Annotated[
        list[Field] | None,
        typer.Option(
            "--field", "-f", help="Only this field's keys; may be repeated. [default: all]"
        ),
    ] = None,
    lazy: Annotated[
        bool, typer.Option("--lazy", help="Only retire: old rows keep their keys for now.")
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Rotate the token keys, and every row's tokens.")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="With --tokens, before the cut-over: put all back.")
    ] = False,
    leave_out: Annotated[
        list[LeaveOut] | None,
        typer.Option(
            parser=LeaveOut.parse,
            metavar="WHAT",
            help="With --tokens: which records get no new token if they do not open; may be repeated.",
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            parser=Duration(),
            metavar="TIME",
            help="With --tokens: how long to wait for locks that others hold, as 90s, 10m, 2h.",
            show_default="10m",
        ),
    ] = WAIT_S,
    allow_publication: Annotated[
        bool,
        typer.Option(
            "--allow-publication",
            help="With --tokens: also while the table is replicated elsewhere, which has to be copied again.",
        ),
    ] = False,
    if_due: Annotated[
        bool,
        typer.Option("--if-due", help="For a scheduler: only if keys are older than they may be."),
    ] = False,
    rate: Annotated[
        float | None, typer.Option(min=1, help="Rows a second at the most. [default: no limit]")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Retire the data keys, and seal anew what they sealed, while ingest runs.

    With --tokens, make new token keys instead: every row gets a second token, old and new ones are
    checked to map one to one, and then change places at once. No duplicate is missed meanwhile. Old
    tokens are kept beside the new ones until `keys destroy`.

    Safe to interrupt, to run again, and to run twice at once: it goes on where it was. A value that
    does not open is left as it is and named; the command then exits 65.

    WHAT is a record id, or key=ID, login=NAME, since=TIME, until=TIME, or several of these with
    commas between them, all of which must hold: the data keys that a record lies under, the login
    that made these, and when they were in use. All records of it are opened once more. Those that
    hold what their tokens say keep them; the others have none after the cut-over. --dry-run and the
    question say how many records that are.

    \b
    Examples:
      vault-etl keys rotate --dry-run
      vault-etl keys rotate --yes
      vault-etl keys rotate --field ip --lazy --yes
      vault-etl keys rotate --if-due --rate 2000 --yes
      vault-etl keys rotate --tokens --wait 30m --yes
      vault-etl keys rotate --tokens --leave-out login=worker3 --dry-run
      vault-etl keys rotate --tokens --abort --yes
    """
    _check(
        {
            "--abort goes with --tokens": abort and not tokens,
            "--leave-out goes with --tokens": bool(leave_out) and not tokens,
            "--wait goes with --tokens": wait != WAIT_S and not tokens,
            "--allow-publication goes with --tokens": allow_publication and not tokens,
            "--tokens goes without --field: all fields rotate together": tokens and bool(field),
            "--tokens goes without --lazy": tokens and lazy,
            "--lazy goes without --rate": lazy and rate is not None,
            "--abort goes without --leave-out": abort and bool(leave_out),
            "--abort goes without --if-due": abort and if_due,
        }
    )
    program, _ = start(quiet=quiet, verbose=verbose)
    run = _Run(if_due=if_due, rate=rate, dry_run=dry_run, yes=yes, output=output, quiet=quiet)
    if tokens:
        keys_rotation.run(
            program,
            keys_rotation.Options(
                abort=abort,
                if_due=if_due,
                leave_out=tuple(dict.fromkeys(leave_out or ())),
                wait=wait,
                allow_publication=allow_publication,
                rate=rate,
                dry_run=dry_run,
                yes=yes,
                output=output,
                quiet=quiet,
            ),
        )
        return
    fields = tuple(dict.fromkeys(field or ())) or tuple(Field)
    if lazy:
        _retire(program, fields, run)
    else:
        _reencrypt(program, fields, run)


def _check(contradictions: dict[str, bool]) -> None:
    for message, holds in contradictions.items():
        if holds:
            raise UsageError(message, hint="add --help for usage")


def _retire(program: Program, fields: tuple[Field, ...], run: _Run) -> None:
    program.check_role(
        *NEEDED_ROLES["keys rotate --lazy"],
        requests=lambda: [] if run.dry_run else [_request(program, fields, "retire only")],
    )
    plan = program.plan_rotation(fields, lazy=True)
    if run.if_due and not is_due(program, KeyPurpose.DATA, quiet=run.quiet):
        print_report(run.output, retired=(), remaining=plan.rows)
        return
    if not run.dry_run:
        confirm(f"Retire {len(plan.retire)} data keys?", yes=run.yes)
        retired = program.retire_data_keys(_request(program, fields, "retire only"))
        print_report(run.output, retired=retired, remaining=plan.rows)
        return
    print_report(run.output, retired=plan.retire, remaining=plan.rows)


def _reencrypt(program: Program, fields: tuple[Field, ...], run: _Run) -> None:
    reason = "retire and re-encrypt"
    needed = "keys rotate --lazy" if run.dry_run else "keys rotate"
    program.check_role(
        *NEEDED_ROLES[needed],
        requests=lambda: [] if run.dry_run else [_request(program, fields, reason)],
    )
    plan = program.plan_rotation(fields, lazy=False)
    unfinished = plan.resumes is not None
    if run.if_due and not is_due(
        program, KeyPurpose.DATA, quiet=run.quiet, unfinished=unfinished, oldest=plan.oldest
    ):
        print_report(run.output, retired=(), remaining=plan.rows)
        return
    if run.dry_run:
        print_report(run.output, retired=plan.retire, remaining=plan.rows)
        return
    confirm(_question(plan), yes=run.yes)
    request = _request(program, plan.resumes or fields, reason)
    with progress("rotate", total=plan.rows, quiet=run.quiet) as bar, stop_when_told():
        report = program.rotation(bar, request.request_id, run.rate).rotate(request, plan)
    print_report(
        run.output,
        retired=report.retired,
        created=report.created,
        done=report.rows_reencrypted,
        remaining=report.rows_remaining,
    )
    if plan.resumes is not None and not run.quiet:
        names = ", ".join(plan.resumes)
        sys.stderr.write(
            f"vault-etl: this was the rest of a rotation of {names} that was interrupted; the keys"
            " that were active when this began still are: run it again to retire them\n"
        )
    if report.failed:
        shown = ", ".join(str(record_id) for record_id in report.failed)
        message = f"{report.rows_remaining} values do not open, among them those of {shown}"
        raise naming(
            DataError(message, hint="they are left as they were; everything else is done"),
            report.at_fault,
        )


def _question(plan: RotationPlan) -> str:
    if plan.resumes is not None:
        return f"Go on with the rotation that was interrupted, {plan.rows} values to seal anew?"
    return f"Retire {len(plan.retire)} data keys and seal {plan.rows} values anew?"


def _request(program: Program, fields: tuple[Field, ...], reason: str) -> AuditRequest:
    return audit_request(program.identity(), Action.KEYS_ROTATE, reason, fields=fields)
