"""`vault-etl duplicates`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated, Final

import typer

from vault_etl.cli.output import OutputOption, QuietOption, print_rows
from vault_etl.cli.reveal import PersonalField
from vault_etl.cli.start import VerboseOption, start
from vault_etl.core.fields import Field

MAX_COUNT: Final = 2**31 - 1


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("duplicates")(_duplicates)


def _duplicates(
    *,
    field: Annotated[PersonalField, typer.Option("--field", "-f", help="Which token to group by.")],
    min_count: Annotated[
        int, typer.Option(min=2, max=MAX_COUNT, help="Only tokens of this many records.")
    ] = 2,
    limit: Annotated[
        int, typer.Option(min=1, max=MAX_COUNT, help="The most shared ones, this many.")
    ] = 20,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show which tokens several records share. Needs no key: it reads tokens alone.

    \b
    Examples:
      vault-etl duplicates --field ip
      vault-etl duplicates --field device_id --min-count 5 --output json
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    shared = program.duplicate_finder().shared_tokens(Field(field), min_count, limit)
    print_rows(
        (asdict(token) for token in shared),
        output,
        columns=("token", "count", "users", "first_seen", "last_seen"),
        empty=f"no {field.value} is shared by {min_count} records or more",
    )
