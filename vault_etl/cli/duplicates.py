"""`vault-etl duplicates`."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import Annotated, Final

import typer

from vault_etl.cli.output import OutputOption, QuietOption, print_rows
from vault_etl.cli.reveal import PersonalField
from vault_etl.cli.start import VerboseOption, start
from vault_etl.core.fields import Field
from vault_etl.ports.duplicates import SharedTokenQuery

MAX_COUNT: Final = 2**31 - 1

_DAY: Final = ["%Y-%m-%d"]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("duplicates")(_duplicates)


def _duplicates(
    *,
    field: Annotated[PersonalField, typer.Option("--field", "-f", help="Which token to group by.")],
    min_count: Annotated[
        int, typer.Option(min=2, max=MAX_COUNT, help="Only tokens of this many records.")
    ] = 2,
    min_users: Annotated[
        int, typer.Option(min=1, max=MAX_COUNT, help="Only tokens of this many users.")
    ] = 1,
    since: Annotated[
        dt.datetime | None, typer.Option(formats=_DAY, help="Only records of this day and later.")
    ] = None,
    until: Annotated[
        dt.datetime | None, typer.Option(formats=_DAY, help="Only records of this day and earlier.")
    ] = None,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_COUNT, help="The most shared ones, this many.")
    ] = 20,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show which tokens several records share. Needs no key: it reads tokens alone.

    Days are those of `create_date`, in UTC; `first_seen` and `last_seen` are the first and the last of
    them.

    \b
    Examples:
      vault-etl duplicates --field ip
      vault-etl duplicates --field ip --min-users 3 --since 2026-01-01
      vault-etl duplicates --field device_id --min-count 5 --output json
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    query = SharedTokenQuery(
        field=Field(field),
        min_count=min_count,
        min_users=min_users,
        since=None if since is None else since.date(),
        until=None if until is None else until.date(),
        limit=limit,
    )
    shared = program.duplicate_finder().shared_tokens(query)
    print_rows(
        (asdict(token) for token in shared),
        output,
        columns=("token", "count", "users", "first_seen", "last_seen"),
        empty=f"no {field.value} is shared by {min_count} records or more",
    )
