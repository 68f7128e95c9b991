"""`vault-etl migrate`."""

from __future__ import annotations

from typing import Annotated

import typer

from vault_etl.cli.duration import Duration
from vault_etl.cli.output import OutputOption, QuietOption, print_object
from vault_etl.cli.progress import progress
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.stop_when_told import stop_when_told
from vault_etl.errors import ConfigurationError, UsageError


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(_migrate)


def _migrate(
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Change nothing; exit 78 if a migration is pending, or something is not"
            " as the migrations made it.",
        ),
    ] = False,
    adopt: Annotated[
        bool,
        typer.Option(
            "--adopt",
            help="Keep the rows of a table user_logins that was there before, under another name.",
        ),
    ] = False,
    roles_only: Annotated[
        bool,
        typer.Option(
            "--roles-only",
            help="Make the roles and the rights on the database, and no table: before a dump is restored.",
        ),
    ] = False,
    wait: Annotated[
        float,
        typer.Option(
            parser=Duration(),
            metavar="TIME",
            help="How long to wait for locks that others hold, as 90s, 10m, 2h.",
        ),
    ] = 300.0,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Bring the database up to date: tables, roles, functions.

    Needs a login that owns the database and may create roles. Safe to repeat, and to run twice
    at once: all pending migrations are one transaction.

    Beside ingest, a migration waits for a lock for a second at a time, since ingest waits behind it. It
    names who is in the way, such as a long query, and tries again for --wait.

    Objects that are there already and have names of ours are in the way: they are named, and nothing
    is changed. With --adopt, a table user_logins moves to adopted.user_logins, with its rows, and is
    this login's. Analysts see both through adopted.user_logins_all, where masked_by says of each row what
    its values are: `token`, or `unkeyed hash`.

    A dump of the database holds everything but the roles, which belong to the server, and the rights
    on the database itself. --roles-only makes these, and pg_restore the rest.

    \b
    Examples:
      vault-etl migrate
      vault-etl migrate --wait 1h
      vault-etl migrate --check
      vault-etl migrate --adopt
      vault-etl migrate --roles-only
    """
    if sum((check, adopt, roles_only)) > 1:
        message = "--check, --adopt and --roles-only go without each other"
        raise UsageError(message, hint="add --help for usage")
    program, _ = start(quiet=quiet, verbose=verbose)
    migrations = program.migrations()
    if roles_only:
        migrations.make_roles()
        print_object({"applied": []}, output)
        return
    if not check:
        with progress("migrate", total=None, quiet=quiet) as bar, stop_when_told():
            applied = program.migrate(bar, wait, adopt=adopt)
        adopted = {"adopted": applied.adopted} if adopt else {}
        print_object({"applied": list(applied.names), **adopted}, output)
        return
    if pending := list(migrations.pending()):
        message = f"{len(pending)} migrations are pending: {', '.join(pending)}"
        raise ConfigurationError(message, hint="run `vault-etl migrate` as the owner")
    if differences := program.schema_differences():
        message = f"not as the migrations made it: {'; '.join(differences)}"
        raise ConfigurationError(message, hint="docs/operations.md, Guards that were changed")
    print_object({"applied": []}, output)
