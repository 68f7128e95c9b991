"""`vault-etl keys destroy`."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from vault_etl.bootstrap import Program
from vault_etl.cli.confirm import confirm
from vault_etl.cli.output import OutputFormat, OutputOption, QuietOption, print_object
from vault_etl.cli.progress import progress
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.stop_when_told import stop_when_told
from vault_etl.core.audit import Action, AuditRequest
from vault_etl.core.fields import Field
from vault_etl.services.audit_request import audit_request
from vault_etl.services.destroy_key import Destroyed

_MAX_KEY_ID: Final = 2**32 - 1

_KEPT: Final = (
    "every backup from before still has the wrapped key, and whoever has KMS opens it: only the end"
    " of those backups, or of the KMS key, ends that"
)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("destroy")(_destroy)


def _destroy(
    key_id: Annotated[
        int, typer.Argument(metavar="KEY_ID", min=1, max=_MAX_KEY_ID, help="See `keys list`.")
    ],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Erase a key that nothing needs, for good.

    A data key must be retired, or its lease be over, and no record and no quarantined body may be
    sealed under it. A token key must be of a generation that another one has followed: the whole
    generation goes, since all fields rotate together, and with it the old tokens that records kept
    beside the new ones. What still needs a key is counted, and the command exits 78.

    Every backup from before still has the wrapped key. Safe to interrupt and to run again.

    \b
    Examples:
      vault-etl keys destroy 2730847132 --dry-run
      vault-etl keys destroy 2730847132
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    program.check_role(
        "vault_etl_rotate",
        "vault_etl_re_encrypt",
        requests=lambda: [] if dry_run else [_request(program, f"key {key_id}", ())],
    )
    doomed_keys = program.doomed_keys()
    doomed = doomed_keys.find(key_id)
    if not doomed.keys:
        if not quiet:
            typer.echo("it was destroyed before: nothing was left to destroy", err=True)
        _print(Destroyed((), 0), output)
        return
    if dry_run:
        _print(Destroyed(doomed.key_ids, doomed_keys.old_tokens(doomed)), output)
        return
    old_tokens = "" if doomed.generation is None else " and its old tokens"
    confirm(f"Destroy {doomed}{old_tokens} for good?", yes=yes)
    request = _request(program, str(doomed), doomed.fields)
    with progress("clear old tokens", total=None, quiet=quiet) as bar, stop_when_told():
        destroyed = program.destroy_key(bar, request.request_id)(request, doomed)
    _print(destroyed, output)
    if destroyed.key_ids and not quiet:
        typer.echo(_KEPT, err=True)


def _request(program: Program, reason: str, fields: tuple[Field, ...]) -> AuditRequest:
    return audit_request(program.identity(), Action.KEYS_DESTROY, reason, fields=fields)


def _print(destroyed: Destroyed, output: OutputFormat | None) -> None:
    print_object(
        {"destroyed": list(destroyed.key_ids), "rows_cleared": destroyed.rows_cleared}, output
    )
