"""`vault-etl migrate`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.base.errors import ConfigurationError, IncompleteError, UsageError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import WAIT_S, WaitOption
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_object, print_rows
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.signals import stop_when_told

if TYPE_CHECKING:
    from vault_etl.app.parts import Parts

_COLUMNS: Final = ("migration", "table", "bytes", "step")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("migrate")(_migrate)


def _migrate(
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check",
            help="Change nothing; exit 78 if a migration is pending or the schema differs"
            " from the migrations, and 75 if only online work is pending.",
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the pending steps, and change nothing."),
    ] = False,
    online: Annotated[
        bool,
        typer.Option(
            "--online",
            help="Also run migrations of large tables: one partition at a time, beside ingest.",
        ),
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(
            min=1, help="With --online: fill at most this many rows a second. [default: no limit]"
        ),
    ] = None,
    roles_only: Annotated[
        bool,
        typer.Option(
            "--roles-only",
            help="Make only the roles and the rights on the database: before a dump is restored.",
        ),
    ] = False,
    wait: WaitOption = WAIT_S,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Bring the database up to date: tables, roles, functions.

    Needs a login that owns the database and may create roles. Safe to repeat, and to run twice
    at once: all pending migrations are one transaction.

    Beside ingest, a migration waits one second at a time for a lock, because ingest waits behind it.
    It names the sessions that hold the lock, such as a long query, and tries again for --wait.

    Some migrations (`….online`) build an index, validate a constraint or fill a column. If their
    tables have more than 64 MiB, `migrate` stops before them (exit 75), and --online runs them beside
    ingest: without one transaction around them, one partition at a time. It waits for old transactions,
    and names them. After an interruption, run it again: it continues. It needs a direct connection to
    Postgres, without a pooler.

    Everything is in one schema, which `migrate` makes. An existing schema or role of that name is
    named, and nothing is changed.

    A dump of the database has everything except the roles, which belong to the server, and the
    rights on the database itself. --roles-only makes these; pg_restore makes the rest.

    \b
    Examples:
      vault-etl migrate
      vault-etl migrate --wait 1h
      vault-etl migrate --dry-run
      vault-etl migrate --online --rate 5000
      vault-etl migrate --check
      vault-etl migrate --roles-only
    """
    from vault_etl.app import migrate

    if sum((check, dry_run, roles_only)) > 1 or (online and (check or dry_run or roles_only)):
        message = "--check, --dry-run, --roles-only and --online exclude each other"
        raise UsageError(message, hint="add --help for usage")
    if rate is not None and not online:
        message = "--rate needs --online"
        raise UsageError(message, hint="add --help for usage")
    parts, _ = start(quiet=quiet, verbose=verbose)
    if roles_only:
        migrate.migrations(parts).make_roles()
        print_object({"applied": []}, output)
    elif check:
        _check(parts)
        print_object({"applied": []}, output)
    elif dry_run:
        print_rows(_plan(parts), output, columns=_COLUMNS, empty="nothing is pending")
    else:
        with progress("migrate", total=None, quiet=quiet) as bar, stop_when_told():
            applied = migrate.migrate(parts, bar, wait, online=online, rate=rate)
        print_object({"applied": list(applied.names)}, output)
        if applied.before is not None:
            raise _online_work_left([applied.before.name])


def _check(parts: Parts) -> None:
    """Raise ConfigurationError or IncompleteError if a migration is pending or the schema differs."""
    from vault_etl.app import migrate

    pending = migrate.migrations(parts).pending()
    names = [found.migration.name for found in pending]
    if pending and not pending[0].is_online:
        message = f"{len(names)} migrations are pending: {', '.join(names)}"
        raise ConfigurationError(message, hint="run `vault-etl migrate` as the owner")
    is_all = all(
        found.is_online for found in pending
    )  # otherwise the schema is of an older version
    if is_all and (differences := migrate.schema_differences(parts, pending)):
        message = f"not as the migrations made it: {'; '.join(differences)}"
        raise ConfigurationError(
            message, hint="docs/operations/doctor.md, Guards that were changed"
        )
    if pending:
        raise _online_work_left(names)


def _online_work_left(names: Sequence[str]) -> IncompleteError:
    return IncompleteError(
        f"online work is left: {', '.join(names)}",
        hint="run `vault-etl migrate --online`, beside ingest; `vault-etl migrate --dry-run` shows it",
    )


def _plan(parts: Parts) -> Iterator[Mapping[str, object]]:
    """The steps of each pending migration, in order."""
    from vault_etl.app import migrate

    for found in migrate.migrations(parts).pending():
        name = found.migration.name
        if not found.is_online:
            yield {
                "migration": name,
                "table": None,
                "bytes": found.bytes,
                "step": "in one transaction",
            }
            continue
        for step in migrate.online_steps(parts, found):
            what = f"{step.statement}: {step.action}"
            yield {"migration": name, "table": step.table, "bytes": step.bytes, "step": what}
