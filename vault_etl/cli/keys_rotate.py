"""`vault-etl keys rotate`: the options. The runs are in `keys_rotate_runs`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from vault_etl.base.errors import UsageError
from vault_etl.cli.keys_rotate_runs import (
    RotationOptions,
    abort_token_rotation,
    reencrypt,
    retire_data_keys,
    rotate_token_keys,
)
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import complete_data_fields, field_option, named_fields
from vault_etl.cli.ui.options import DryRunOption, Duration, RateOption, YesOption
from vault_etl.cli.ui.output import OutputOption, QuietOption
from vault_etl.rotation.leave_out import LeaveOut

WAIT_S: Final = 600.0


def rotate(
    *,
    field: Annotated[
        list[str] | None,
        field_option(
            "Only this field's keys, or quarantine; may be repeated. [default: all]",
            complete_data_fields,
        ),
    ] = None,
    lazy: Annotated[
        bool, typer.Option("--lazy", help="Only retire keys: old rows keep them for now.")
    ] = False,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Rotate the token keys, and the tokens of every row.")
    ] = False,
    abort: Annotated[
        bool, typer.Option("--abort", help="With --tokens: undo a rotation before its cut-over.")
    ] = False,
    leave_out: Annotated[
        list[LeaveOut] | None,
        typer.Option(
            parser=LeaveOut.parse,
            metavar="WHAT",
            help="With --tokens: records that get no new token if they do not open; may be repeated.",
        ),
    ] = None,
    wait: Annotated[
        float,
        typer.Option(
            parser=Duration(),
            metavar="TIME",
            help="With --tokens: how long to wait for locks of other sessions: 90s, 10m, 2h.",
            show_default="10m",
        ),
    ] = WAIT_S,
    allow_publication: Annotated[
        bool,
        typer.Option(
            "--allow-publication",
            help="With --tokens: allow a publication of the table; its subscribers must copy the table again.",
        ),
    ] = False,
    if_due: Annotated[
        bool,
        typer.Option("--if-due", help="For a scheduler: only if keys are older than their limit."),
    ] = False,
    rate: RateOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Retire the data keys, and re-encrypt their values, while ingest runs.

    With --tokens, make new token keys instead: every row gets a second token, old and new tokens are
    checked to map one to one, and the new ones replace the old ones all at once. No duplicate is
    missed meanwhile. Rows keep the old tokens beside the new ones until `keys destroy`.

    Safe to interrupt, to run again, and to run twice at once: a run continues where the last one
    stopped. A value that does not open is unchanged and named; the command then exits 65.

    WHAT is a record id, or key=ID, login=NAME, since=TIME, until=TIME, or several of these with
    commas between them, which must all match: the data keys of a record, the login that made these
    keys, and the time when they were in use. Every record that matches is opened again. A record
    whose values match its tokens gets new tokens; the others have none after the cut-over. --dry-run
    and the question show the number of records.

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
    _refuse_contradictions(
        {
            "--abort needs --tokens": abort and not tokens,
            "--leave-out needs --tokens": bool(leave_out) and not tokens,
            "--wait needs --tokens": wait != WAIT_S and not tokens,
            "--allow-publication needs --tokens": allow_publication and not tokens,
            "--tokens excludes --field: all fields rotate together": tokens and bool(field),
            "--tokens excludes --lazy": tokens and lazy,
            "--lazy excludes --rate": lazy and rate is not None,
            "--abort excludes --leave-out": abort and bool(leave_out),
            "--abort excludes --if-due": abort and if_due,
        }
    )
    parts, _ = start(quiet=quiet, verbose=verbose)
    options = RotationOptions(
        fields=named_fields(field or (), parts.declaration.data_fields)
        or parts.declaration.data_fields,
        leave_out=tuple(dict.fromkeys(leave_out or ())),
        wait=wait,
        allow_publication=allow_publication,
        if_due=if_due,
        rate=rate,
        dry_run=dry_run,
        yes=yes,
        output=output,
        quiet=quiet,
    )
    if abort:
        abort_token_rotation(parts, options)
    elif tokens:
        rotate_token_keys(parts, options)
    elif lazy:
        retire_data_keys(parts, options)
    else:
        reencrypt(parts, options)


def _refuse_contradictions(contradictions: dict[str, bool]) -> None:
    for message, holds in contradictions.items():
        if holds:
            raise UsageError(message, hint="add --help for usage")
