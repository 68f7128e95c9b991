"""`vault-etl keys destroy`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import UsageError
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption, YesOption
from vault_etl.cli.ui.output import (
    OutputFormat,
    OutputOption,
    QuietOption,
    print_object,
    wants_json,
)
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import confirm
from vault_etl.cli.ui.signals import stop_when_told
from vault_etl.crypto.fields import FieldName
from vault_etl.keys.destroy import Destroyed, unused_keys
from vault_etl.keys.needed import refuse_if_unattached_need

if TYPE_CHECKING:
    from vault_etl.app.parts import Parts

_MAX_KEY_ID: Final = 2**32 - 1

_MOST_SHOWN: Final = 20

_KEPT: Final = (
    "older backups still have the wrapped key, and a caller of KMS can open it until those backups"
    " or the KMS key are deleted"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """The options of a run, for one key or for all unused keys."""

    parts: Parts
    dry_run: bool
    yes: bool
    output: OutputFormat | None
    quiet: bool


def destroy(
    key_id: Annotated[
        int | None,
        typer.Argument(
            metavar="KEY_ID",
            min=1,
            max=_MAX_KEY_ID,
            help="The key's id, from `keys list`.",
            show_default=False,
        ),
    ] = None,
    *,
    unused: Annotated[
        bool,
        typer.Option("--unused", help="Every data key that nothing needs, instead of a KEY_ID."),
    ] = False,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Destroy a key that nothing needs, for good; or, with --unused, all such data keys.

    A data key must be retired, or its lease must have ended, and no record and no quarantined body may
    be sealed under it. A token key must be of an older generation: the whole generation is destroyed,
    since all fields rotate together, and so are the old tokens that records keep beside the new ones.
    If something still needs the key, it is counted, and the command exits 78. If only closed months
    and sets need a generation, the old tokens of the tables are deleted, and the keys stay.

    Every run of ingest makes its own data keys. After `keys rotate` has re-encrypted their values,
    nothing needs them: --unused destroys all of them at once, and no token key.

    Older backups still have the wrapped key. Safe to interrupt and to run again.

    \b
    Examples:
      vault-etl keys destroy 2730847132 --dry-run
      vault-etl keys destroy 2730847132
      vault-etl keys destroy --unused --yes
    """
    from vault_etl.app import audit

    if (key_id is None) is not unused:
        message = "give a KEY_ID or --unused" if key_id is None else "--unused takes no KEY_ID"
        raise UsageError(message, hint="add --help for usage")
    parts, _ = start(quiet=quiet, verbose=verbose)
    run = _Run(parts=parts, dry_run=dry_run, yes=yes, output=output, quiet=quiet)
    asked = "unused data keys" if key_id is None else f"key {key_id}"
    audit.check_role(
        parts,
        *NEEDED_ROLES["keys destroy"],
        requests=lambda: [] if dry_run else [_request(parts, asked, ())],
    )
    if key_id is None:
        _destroy_unused(run)
    else:
        _destroy_one(run, key_id)


def _destroy_one(run: _Run, key_id: int) -> None:
    from vault_etl.app import keys

    parts = run.parts
    keys_to_destroy = keys.keys_to_destroy(parts)
    to_destroy = keys_to_destroy.find(key_id)
    if not to_destroy.keys:
        if not run.quiet:
            typer.echo("already destroyed: there was nothing left to destroy", err=True)
        _print(Destroyed((), 0), run)
        return
    if run.dry_run:
        needs = keys_to_destroy.needs(to_destroy)
        refuse_if_unattached_need(to_destroy, needs)
        _print(Destroyed(to_destroy.key_ids, needs.old_tokens), run)
        return
    old_tokens = "" if to_destroy.generation is None else " and its old tokens"
    confirm(f"Destroy {to_destroy}{old_tokens} for good?", yes=run.yes)
    request = _request(parts, str(to_destroy), to_destroy.fields)
    with progress("clear old tokens", total=None, quiet=run.quiet) as bar, stop_when_told():
        destroyed = keys.destruction(parts, bar, request.request_id)(request, to_destroy)
    _print(destroyed, run)


def _destroy_unused(run: _Run) -> None:
    from vault_etl.app import keys

    parts = run.parts
    unused = unused_keys(keys.lister(parts))
    if not unused.keys or run.dry_run:
        if not unused.keys and not run.quiet:
            typer.echo("no data key is unused: there was nothing left to destroy", err=True)
        _print(Destroyed(unused.key_ids, 0), run)
        return
    confirm(f"Destroy {unused} for good?", yes=run.yes)
    request = _request(parts, str(unused), unused.fields)
    total = len(unused.keys)
    with progress("destroy", total=total, quiet=run.quiet) as bar, stop_when_told():
        ended = keys.unused_destruction(parts, bar, request.request_id)(request, unused)
    _print(Destroyed(ended, 0), run)


def _request(parts: Parts, reason: str, fields: tuple[FieldName, ...]) -> AuditRequest:
    return audit_request(parts.identity, Action.KEYS_DESTROY, reason, fields=fields)


def _print(destroyed: Destroyed, run: _Run) -> None:
    key_ids: object = list(destroyed.key_ids)
    if len(destroyed.key_ids) > _MOST_SHOWN and not wants_json(run.output):
        key_ids = f"{len(destroyed.key_ids)} keys"  # `keys list --state destroyed` has them
    print_object({"destroyed": key_ids, "rows_cleared": destroyed.rows_cleared}, run.output)
    if destroyed.key_ids and not (run.dry_run or run.quiet):
        typer.echo(_KEPT, err=True)
