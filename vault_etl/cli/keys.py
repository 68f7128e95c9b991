"""`vault-etl keys …`."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import typer

from vault_etl.bootstrap import Program
from vault_etl.cli import keys_destroy, keys_rewrap
from vault_etl.cli.confirm import confirm
from vault_etl.cli.output import OutputOption, QuietOption, print_object, print_rows
from vault_etl.cli.progress import progress
from vault_etl.cli.start import VerboseOption, start
from vault_etl.core.audit import Action, AuditRequest
from vault_etl.core.fields import PERSONAL_FIELDS, Field
from vault_etl.errors import DataError
from vault_etl.ports.key_store import KeyUsage
from vault_etl.services.audit_request import audit_request
from vault_etl.services.init_keys import INIT_REASON
from vault_etl.services.rotate_keys import RotationPlan, RotationReport, plan_rotation

app = typer.Typer(
    help="Make, list, rotate, rewrap and destroy keys.", no_args_is_help=True, rich_markup_mode=None
)

_SHOWN_FAILURES = 10


@app.command("init")
def _init(
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make the first token keys, one a field. Safe to repeat: then it makes none.

    \b
    Example:
      vault-etl keys init
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    program.check_role(
        "vault_etl_re_encrypt",
        requests=lambda: [
            audit_request(program.identity(), Action.KEYS_INIT, INIT_REASON, fields=PERSONAL_FIELDS)
        ],
    )
    print_object({"created": list(program.init_keys().created)}, output)


@app.command("list")
def _list(
    *,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show every key: its state, its age, and how many values still need it.

    \b
    Examples:
      vault-etl keys list
      vault-etl keys list --output json
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    now = dt.datetime.now(dt.UTC)
    print_rows(
        (_listed(usage, now) for usage in program.key_lister().usage()),
        output,
        columns=("key_id", "purpose", "field", "generation", "state", "age_days", "rows"),
        empty="there are no keys yet: `vault-etl keys init` makes the first",
    )


@app.command("rotate")
def _rotate(
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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Retire the data keys, and seal anew what they sealed, while ingest runs.

    Safe to interrupt and to run again: it goes on where it was. A value that does not open is left
    as it is and named; the command then exits 65.

    \b
    Examples:
      vault-etl keys rotate --dry-run
      vault-etl keys rotate --yes
      vault-etl keys rotate --field ip --lazy --yes
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    fields = tuple(dict.fromkeys(field or [])) or tuple(Field)
    program.check_role(
        "vault_etl_rotate",
        "vault_etl_re_encrypt",
        requests=lambda: [] if dry_run else [_request(program, fields, lazy=lazy)],
    )
    plan = plan_rotation(program.key_lister(), fields)
    if dry_run:
        print_object(_report(retired=plan.retire, remaining=plan.rows), output)
        return
    count = f"{len(plan.retire)} data keys"
    confirm(
        f"Retire {count}?" if lazy else f"Retire {count} and seal {plan.rows} values anew?", yes=yes
    )
    report = _run(program, plan, fields, lazy=lazy, quiet=quiet)
    print_object(
        _report(
            retired=report.retired,
            created=report.created,
            done=report.rows_reencrypted,
            remaining=report.rows_remaining,
        ),
        output,
    )
    if report.failed:
        shown = ", ".join(str(record_id) for record_id in report.failed[:_SHOWN_FAILURES])
        message = f"{len(report.failed)} records have a value that does not open: {shown}"
        raise DataError(message, hint="they are left as they were; everything else is done")


keys_rewrap.register(app)
keys_destroy.register(app)


def _run(
    program: Program, plan: RotationPlan, fields: tuple[Field, ...], *, lazy: bool, quiet: bool
) -> RotationReport:
    request = _request(program, fields, lazy=lazy)
    with progress("rotate", total=plan.rows, quiet=quiet) as bar:
        rotation = program.rotation(bar, request.request_id)
        if lazy:
            return RotationReport(rotation.retire(request), (), 0, plan.rows, ())
        return rotation.rotate(request)


def _request(program: Program, fields: tuple[Field, ...], *, lazy: bool) -> AuditRequest:
    reason = "retire only" if lazy else "retire and re-encrypt"
    return audit_request(program.identity(), Action.KEYS_ROTATE, reason, fields=fields)


def _report(
    *,
    retired: tuple[int, ...],
    created: tuple[int, ...] = (),
    done: int = 0,
    remaining: int,
) -> dict[str, object]:
    return {
        "retired": list(retired),
        "created": list(created),
        "rows_reencrypted": done,
        "rows_remaining": remaining,
    }


def _listed(usage: KeyUsage, now: dt.datetime) -> dict[str, object]:
    key = usage.key
    return {
        "key_id": key.key_id,
        "purpose": key.purpose.value,
        "field": key.field.value,
        "generation": key.generation,
        "state": key.state.value,
        "created_at": key.created_at,
        "created_by": key.created_by,
        "expires_at": key.expires_at,
        "retired_at": key.retired_at,
        "destroyed_at": key.destroyed_at,
        "kms_key_arn": key.kms_key_arn,
        "age_days": (now - key.created_at).days,
        "rows": usage.rows,
    }
