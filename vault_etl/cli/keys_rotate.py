"""`vault-etl keys rotate`: the options. The runs are in `keys_rotation`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from vault_etl.base.errors import UsageError
from vault_etl.cli.keys_rotation import (
    RotationOptions,
    abort_token_rotation,
    reencrypt,
    retire_data_keys,
    rotate_token_keys,
)
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption, Duration, RateOption, YesOption
from vault_etl.cli.ui.output import OutputOption, QuietOption
from vault_etl.crypto.fields import Field
from vault_etl.rotation.leave_out import LeaveOut

WAIT_S: Final = 600.0


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
    rate: RateOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
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
    _refuse_contradictions(
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
    parts, _ = start(quiet=quiet, verbose=verbose)
    options = RotationOptions(
        fields=tuple(dict.fromkeys(field or ())) or tuple(Field),
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
