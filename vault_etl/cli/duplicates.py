"""`vault-etl duplicates`."""

from __future__ import annotations

import contextlib
import datetime as dt
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Final

import typer

from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import complete_searched, field_option, named_fields
from vault_etl.cli.ui.months import warn_of
from vault_etl.cli.ui.output import MAX_COUNT, OutputOption, QuietOption, print_rows
from vault_etl.cli.ui.progress import elapsed
from vault_etl.declaration.searched import searched
from vault_etl.records.unattached_months import UnsearchedMonths
from vault_etl.reveal.duplicates import SharedToken, SharedTokenQuery

_DAY: Final = ["%Y-%m-%d"]
_COLUMNS: Final = ("token", "count", "users", "first_seen", "last_seen")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("duplicates")(_duplicates)


def _duplicates(
    *,
    field: Annotated[
        str,
        field_option(
            "The field whose tokens to group by, or a form of it, such as ip/network.",
            complete_searched,
        ),
    ],
    min_count: Annotated[
        int, typer.Option(min=2, max=MAX_COUNT, help="Only tokens of at least this many records.")
    ] = 2,
    min_users: Annotated[
        int, typer.Option(min=1, max=MAX_COUNT, help="Only tokens of at least this many users.")
    ] = 1,
    since: Annotated[
        dt.datetime | None, typer.Option(formats=_DAY, help="Only records of this day or later.")
    ] = None,
    until: Annotated[
        dt.datetime | None, typer.Option(formats=_DAY, help="Only records of this day or earlier.")
    ] = None,
    limit: Annotated[
        int,
        typer.Option(min=1, max=MAX_COUNT, help="At most this many tokens, the most shared ones."),
    ] = 20,
    with_placeholders: Annotated[
        bool,
        typer.Option("--placeholders", help="Include values such as 0.0.0.0, null and unknown."),
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show which tokens several records share. Needs no key: the command reads tokens only.

    Values that mean "no address" or "no device" (0.0.0.0, null, unknown, an id of zeros) are left
    out; `--placeholders` shows them, with the value in `placeholder`.

    Days are those of the events, in UTC; `first_seen` and `last_seen` are the first and the last of
    them. Months that are detached or archived are not searched; those that may have rows of these
    days are named on standard error.

    \b
    Examples:
      vault-etl duplicates --field ip
      vault-etl duplicates --field ip --min-users 3 --since 2026-01-01
      vault-etl duplicates --field device_id --min-count 5 --output json
    """
    from vault_etl.app import records
    from vault_etl.app.duplicates import duplicate_finder

    parts, _ = start(quiet=quiet, verbose=verbose)
    searchable = searched(parts.declaration)
    (name,) = named_fields([field], searchable)
    known = searchable[name].placeholders
    query = SharedTokenQuery(
        field=name,
        min_count=min_count,
        min_users=min_users,
        since=None if since is None else since.date(),
        until=None if until is None else until.date(),
        leave_out=() if with_placeholders else tuple(known),
        limit=limit,
    )
    events = searchable[name].events(parts.declaration)
    with UnsearchedMonths(records.months(parts), events) as left:
        finder = duplicate_finder(parts)
    with contextlib.ExitStack() as shown:
        if sys.stderr.isatty() and not quiet:
            shown.enter_context(elapsed(f"grouping about {finder.records(query):,} records"))
        shared = finder.shared_tokens(query)
    warn_of([month for month in left.months if month.may_name(query.since, query.until)])
    print_rows(
        (_row(token, known) if with_placeholders else asdict(token) for token in shared),
        output,
        columns=_COLUMNS + (("placeholder",) if with_placeholders else ()),
        empty=f"no {name} is shared by {min_count} or more records",
    )


def _row(shared: SharedToken, known: Mapping[uuid.UUID, str]) -> dict[str, object]:
    return {**asdict(shared), "placeholder": known.get(shared.token)}
