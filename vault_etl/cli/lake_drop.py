"""`vault-etl lake drop`, for the owner."""

from __future__ import annotations

from typing import Annotated

import typer

from vault_etl.audit.entries import Action, clean_reason
from vault_etl.audit.log import audit_request
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption, YesOption
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_object
from vault_etl.cli.ui.prompts import ReasonOption, TicketOption, confirm, reason_for, word


def drop(
    place: Annotated[
        str, typer.Argument(metavar="SET", help="A folder, or s3://bucket/prefix, on the record.")
    ],
    *,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Delete the files of a set and take it off the record, audited. This cannot be undone.

    Also ends a set that `lake seal` did not finish and will not go on with. Its keys are not needed
    any more, and no erasure waits for it. A set whose files are gone is taken off the record. The
    archive of a month is deleted by `vault-etl partitions drop --archive`. Safe to run again.

    \b
    Examples:
      vault-etl lake drop s3://acme-lake/2019 --dry-run
      vault-etl lake drop s3://acme-lake/2019 --reason "retention: 7 years"
    """
    from vault_etl.app.lake_places import drop_set, dropped_sets, location_of

    asked = "dry run" if dry_run else reason_for("to drop a set", reason)
    location = location_of(place)
    parts, _ = start(quiet=quiet, verbose=verbose)
    set_id, found = dropped_sets(parts).find(location)
    if not dry_run:
        confirm(
            f"Delete the set at {location}, with {found.rows} rows? This cannot be undone.", yes=yes
        )
        request = audit_request(
            parts.identity,
            Action.LAKE_DROP,
            clean_reason(f"{location}: {asked}"),
            ticket=word(ticket, "ticket"),
        )
        drop_set(parts, request, set_id, location)
    print_object(
        {"location": location, "set_id": set_id, "event": found.event, "rows": found.rows}, output
    )
