"""What a rotation prints, whatever it rotated."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vault_etl.cli.ui.output import OutputFormat, print_object
from vault_etl.crypto.fields import KeyPurpose

if TYPE_CHECKING:
    from vault_etl.app import Program
from dataclasses import dataclass

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.identity import audit_request
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.ui.printable import printable
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import confirm
from vault_etl.cli.ui.signals import stop_when_told
from vault_etl.crypto.fields import PERSONAL_FIELDS
from vault_etl.rotation.leave_out import LeaveOut
from vault_etl.rotation.tokens import TokenPlan


def print_report(
    output: OutputFormat | None,
    *,
    retired: Sequence[int],
    created: Sequence[int] = (),
    done: int = 0,
    remaining: int,
    left_out: int | None = None,
) -> None:
    """Print the keys that went and came, and how many rows were done and were not.

    `left_out` is of a rotation of the token keys that was cut over.
    """
    print_object(
        {
            "retired": list(retired),
            "created": list(created),
            "rows_reencrypted": done,
            "rows_remaining": remaining,
            **({} if left_out is None else {"rows_left_out": left_out}),
        },
        output,
    )


def is_due(
    program: Program,
    purpose: KeyPurpose,
    *,
    quiet: bool,
    unfinished: bool = False,
    oldest: dt.datetime | None = None,
) -> bool:
    """Whether to rotate: keys in use are older than they may be, or a rotation was left half way.

    Or rows are still under a retired key, made at `oldest`, that is older than a key may be: a lazy
    rotation was never followed by another. Says so if not.
    """
    age = program.key_age(purpose)
    left = age.limit and oldest is not None and dt.datetime.now(dt.UTC) - oldest > age.limit
    if age.is_due or unfinished or left:
        return True
    if not quiet:
        sys.stderr.write(f"vault-etl: nothing is due: {age}\n")
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    abort: bool
    if_due: bool
    leave_out: tuple[LeaveOut, ...]
    wait: float
    allow_publication: bool
    rate: float | None
    dry_run: bool
    yes: bool
    output: OutputFormat | None
    quiet: bool


def run(program: Program, options: Options) -> None:
    """Rotate the token keys, go on with a rotation, or abort it."""
    reason = "abort the rotation of the token keys" if options.abort else "rotate the token keys"
    needed = "keys rotate --lazy" if options.dry_run else "keys rotate"
    program.check_role(
        *NEEDED_ROLES[needed],
        requests=lambda: [] if options.dry_run else [_request(program, reason)],
    )
    if options.abort:
        _abort(program, options, reason)
        return
    plan = program.plan_tokens(options.leave_out)
    if options.if_due and not is_due(
        program, KeyPurpose.TOKEN, quiet=options.quiet, unfinished=plan.pending is not None
    ):
        print_report(options.output, retired=(), remaining=0)
        return
    if options.dry_run:
        print_report(options.output, retired=plan.retire, remaining=plan.rows)
    if options.dry_run or not (options.quiet and options.yes):
        _show(plan)
    if options.dry_run:
        return
    if not options.allow_publication:
        program.check_publications()  # before hours of work
    confirm(_question(plan), yes=options.yes)
    request = _request(program, reason)
    with progress("rotate tokens", total=plan.rows, quiet=options.quiet) as bar, stop_when_told():
        rotation = program.token_rotation(
            bar,
            request.request_id,
            options.rate,
            options.wait,
            allow_publication=options.allow_publication,
        )
        report = rotation.rotate(request, plan)
    print_report(
        options.output,
        retired=report.retired,
        created=report.created,
        done=report.rows,
        remaining=0,
        left_out=report.left_out,
    )
    if not options.quiet:
        sys.stderr.write(
            f"vault-etl: generation {report.generation} is active; the cut-over held its locks for"
            f" {report.held_ms:.0f} ms\n"
            + (
                f"vault-etl: {report.left_out} records are left out of it\n"
                if report.left_out
                else ""
            )
            + "vault-etl: tokens that were saved elsewhere do not join any more; old ones are kept in"
            " the rows until `keys destroy`\n"
        )


def _abort(program: Program, options: Options, reason: str) -> None:
    """Nothing is lost by it but the work: the active generation is as it was."""
    plan = program.plan_tokens()
    if options.dry_run:
        print_report(options.output, retired=(), remaining=plan.rows)
        return
    confirm("Destroy the pending token keys, and take their tokens away?", yes=options.yes)
    with progress("abort", total=None, quiet=options.quiet) as bar, stop_when_told():
        aborted = program.abort_tokens(bar, _request(program, reason))
    print_report(options.output, retired=aborted.destroyed, remaining=0)
    if not options.quiet:
        sys.stderr.write(
            f"vault-etl: {aborted.rows} rows have their tokens of the active generation alone again\n"
            if aborted.destroyed or aborted.rows
            else "vault-etl: no rotation of the token keys was under way\n"
        )


def _show(plan: TokenPlan) -> None:
    """What each --leave-out names."""
    for named in plan.named:
        logins, arns = ", ".join(named.logins), ", ".join(named.kms_key_arns)
        sys.stderr.write(
            printable(
                f"vault-etl: --leave-out {named.what}: {named.rows} records, under {named.keys} data keys"
                f"{f' of {logins}, wrapped by {arns}' if logins else ''}"
            )
            + "\n"
        )


def _question(plan: TokenPlan) -> str:
    rows = sum(named.rows for named in plan.named)
    left_out = f", leave out what does not open of {rows} named ones" if rows else ""
    begin = f"Go on with generation {plan.pending}" if plan.pending else "Make new token keys"
    return f"{begin}, give {plan.rows} rows a new token{left_out}, and cut over?"


def _request(program: Program, reason: str) -> AuditRequest:
    return audit_request(program.identity(), Action.KEYS_ROTATE, reason, fields=PERSONAL_FIELDS)
