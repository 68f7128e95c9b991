"""`vault-etl lake rotate`, for the role re-encrypt."""

from __future__ import annotations

import sys

from vault_etl.audit.entries import Action
from vault_etl.audit.log import audit_request
from vault_etl.cli.lake_open import SetArgument
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption, YesOption
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_object
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import ReasonOption, TicketOption, confirm, reason_for, word
from vault_etl.cli.ui.signals import stop_when_told


def rotate(
    place: SetArgument,
    *,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Re-encrypt a set, or the archive of a month, and make its tokens in the active generation.

    Parts with values under data keys that are retired, or with tokens of another generation, are
    opened, audited, and written again under new data keys. `keys rotate` retires keys first. Each new
    part is a signed version of the set, which is recorded before the old part is deleted, so the command
    may be interrupted and run again. A value that does not open ends it (exit 65); if another run
    changed the set meanwhile, nothing is lost (exit 75).

    \b
    Examples:
      vault-etl lake rotate /srv/lake/2024 --dry-run
      vault-etl lake rotate 2024-03 --reason "yearly rotation" --yes
    """
    from vault_etl.app import audit
    from vault_etl.app.lake_places import at_place, find_set
    from vault_etl.lake.entries import must_leave_room, set_request
    from vault_etl.lake.rotate import needs_rotation

    asked = "dry run" if dry_run else reason_for("to open a set", reason)
    must_leave_room(asked)
    reference = word(ticket, "ticket")
    parts, _ = start(quiet=quiet, verbose=verbose)
    found = find_set(parts, place)
    with at_place(parts, found.location) as files:
        from vault_etl.app.lake_changes import needed_keys, rotate_set
        from vault_etl.archives.declared_event import event_of

        current = files.reader.read(found.must_be_on_record().manifest_sha256)
        event = event_of(current.manifest, parts.declaration)
        request = audit_request(
            parts.identity, Action.LAKE_ROTATE, asked, fields=event.fields, ticket=reference
        )
        audit.check_role(
            parts,
            *NEEDED_ROLES["lake rotate"],
            requests=lambda: [] if dry_run else [set_request(request, current)],
        )
        manifest = current.manifest
        needed = needs_rotation(manifest, needed_keys(parts, event))
        written = rows = 0
        if needed and not dry_run:
            confirm(f"Open {manifest.contents.rows} rows of {found.location}?", yes=yes)
            with (
                progress("rotate", total=manifest.contents.rows, quiet=quiet) as bar,
                stop_when_told(),
            ):
                work = rotate_set(parts, files, current, request.request_id, bar)
                done = work(request, current)
            current, written, rows = done.current, done.parts, done.rows
        elif not (needed or quiet):
            sys.stderr.write(
                "vault-etl: all values are under active keys, and all tokens of the active generation\n"
            )
    print_object(
        {
            "set_id": manifest.set_id,
            "set": found.location,
            "version": current.manifest.version,
            "manifest_sha256": current.sha256.hex(),
            "needs_rotation": needed and not written,
            "parts_written": written,
            "rows_written": rows,
        },
        output,
    )
