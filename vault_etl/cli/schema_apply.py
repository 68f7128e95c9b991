"""`vault-etl schema apply`."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from vault_etl.base.errors import DataError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import WAIT_S, DryRunOption, WaitOption, YesOption
from vault_etl.cli.ui.output import (
    OutputOption,
    QuietOption,
    print_listing,
    print_object,
    print_rows,
    wants_json,
)
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import confirm
from vault_etl.cli.ui.signals import stop_when_told

if TYPE_CHECKING:
    from vault_etl.declaration.changes import DeclarationChange

COLUMNS = ("key", "change", "reason")


def apply(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A declaration, in TOML.")],
    *,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    wait: WaitOption = WAIT_S,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Put a declaration in force: add its fields, values and events to a vault beside ingest.

    Needs the owner's login. The file is compared with every declaration that was in force. Tables,
    functions, views and rights change in one transaction, which also writes the audit log. Then
    indexes of new columns are made online; after an interruption, run the command again: it continues.

    If the change only adds optional values, `ingest` may go on with the file before, until it is
    restarted with the new one. Every other command that writes needs the new file at once (exit 78).

    \b
    Examples:
      vault-etl schema apply vault-etl.schema.toml --dry-run
      vault-etl schema apply vault-etl.schema.toml
    """
    from vault_etl.app import catalogue
    from vault_etl.declaration.document import digest_of
    from vault_etl.declaration.read import read_declaration

    parts, _ = start(quiet=quiet, verbose=verbose)
    new = read_declaration(file)
    plan = catalogue.plan(parts, new)
    rows = change_rows(plan.changes)
    refuse(plan.changes, rows, output)
    result: dict[str, object] = {
        "version": plan.version,
        "digest": digest_of(new).hex(),
        "changed": not (plan.is_in_force or dry_run),
        "workers_before_may_write": None if plan.is_in_force else plan.admits_old_workers,
    }
    if not wants_json(output):
        print_rows(rows, output, columns=COLUMNS, empty="nothing changes")
    if not dry_run:
        if not plan.is_in_force:
            confirm(f"Put version {plan.version} of the declaration in force?", yes=yes)
        with progress("schema apply", total=None, quiet=quiet) as bar, stop_when_told():
            catalogue.apply(parts, plan, bar, wait)
    if wants_json(output):
        print_listing(result, "changes", rows, output, columns=COLUMNS)
    else:
        sys.stdout.write("\n")
        print_object(result, output)


def change_rows(changes: Sequence[DeclarationChange]) -> Sequence[Mapping[str, object]]:
    """The rows of a list of changes."""
    return [
        {"key": change.where, "change": change.effect, "reason": change.reason or None}
        for change in changes
    ]


def refuse(
    changes: Sequence[DeclarationChange],
    rows: Sequence[Mapping[str, object]],
    output: OutputOption,
) -> None:
    """Print the changes and raise DataError, if one of them is refused."""
    from vault_etl.declaration.changes import Effect

    refused = [change.where for change in changes if change.effect is Effect.REFUSED]
    if refused:
        print_rows(rows, output, columns=COLUMNS, empty="no changes")
        raise DataError(
            f"{len(refused)} of {len(changes)} changes refused: {', '.join(refused)}",
            hint="retire a name with `retired = true`, and add another one",
        )
