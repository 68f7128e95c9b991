"""`vault-etl audit`: the group, and `list` and `checkpoint`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator
from typing import Annotated

import typer

from vault_etl.audit.entries import Action
from vault_etl.audit.log import AuditEntry, AuditFilter
from vault_etl.cli import audit_policy, audit_segments, audit_verify
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import complete_data_fields, field_option, named_fields
from vault_etl.cli.ui.options import SinceOption, UntilOption, utc
from vault_etl.cli.ui.output import (
    MAX_COUNT,
    OutputOption,
    QuietOption,
    print_object,
    print_rows,
    utc_text,
    wants_json,
)

app = typer.Typer(
    help="Read, verify and sign the audit log.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _audit() -> None:
    """Read, verify and sign the audit log."""


@app.command("list")
def _list(
    *,
    since: SinceOption = None,
    until: UntilOption = None,
    record: Annotated[
        uuid.UUID | None, typer.Option(help="Only entries about this record.")
    ] = None,
    field: Annotated[
        str | None,
        field_option("Only entries about this field.", complete_data_fields),
    ] = None,
    action: Annotated[
        Action | None,
        typer.Option(metavar="ACTION", help='Only entries of this action, such as "keys rotate".'),
    ] = None,
    ticket: Annotated[str | None, typer.Option(help="Only entries with this ticket.")] = None,
    actor: Annotated[
        str | None, typer.Option(help="Only entries of this actor (ARN) or database login.")
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=MAX_COUNT, help="At most this many entries, the newest."),
    ] = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show who accessed what, and why; the newest entry last.

    An entry must match every filter.

    JSON has more of each entry. The client states actor and host; the database states login, time and
    client_address. client_address is the peer that connects to Postgres: behind a pooler, the pooler.

    \b
    Examples:
      vault-etl audit list --since 2026-01-31 --until 2026-02-28
      vault-etl audit list --action reveal --field ip --limit 20
      vault-etl audit list --ticket CASE-17 --output json
    """
    from vault_etl.app import audit

    parts, _ = start(quiet=quiet, verbose=verbose)
    wanted = AuditFilter(
        since=utc(since),
        until=utc(until),
        record_id=record,
        field=field and named_fields([field], parts.declaration.data_fields)[0],
        action=action.value if action else None,
        ticket=ticket,
        actor=actor,
    )
    reader = audit.reader(parts)
    left = reader.last_trimmed()
    shown = 0

    def rows() -> Iterator[dict[str, object]]:
        nonlocal shown
        for entry in reader.entries(wanted, limit=limit):
            shown += 1
            yield listed(entry)

    print_rows(
        rows(),
        output,
        columns=(
            "seq",
            "time",
            "login",
            "action",
            "decision",
            "record_id",
            "fields",
            "purpose",
            "ticket",
            "error_code",
            "reason",
        ),
        empty="no entries",
    )
    asked = wanted.since is None or (left is not None and wanted.since <= left.logged_at)
    if left is not None and asked and not quiet and shown != limit:
        sys.stderr.write(
            f"vault-etl: entries up to {left.seq} ({utc_text(left.logged_at)}) moved from the log to"
            " segments: only a few of them are listed\n"
        )


def listed(entry: AuditEntry) -> dict[str, object]:
    """The members of an entry in JSON."""
    return {
        "seq": entry.seq,
        "time": entry.logged_at,
        "request_id": entry.request_id,
        "phase": entry.phase,
        "login": entry.login,
        "client_address": entry.client_address,
        "actor": entry.actor,
        "host": entry.host,
        "action": entry.action,
        "record_id": entry.record_id,
        "fields": entry.fields,
        "purpose": entry.purpose,
        "ticket": entry.ticket,
        "reason": entry.reason,
        "decision": entry.decision,
        "error_code": entry.error_code,
        "prev_hash": entry.prev_hash.hex(),
        "hash": entry.hash.hex(),
    }


def _checkpoint(
    *,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="The audit key was replaced: register the new key.")
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Sign the newest entry, and print the signed note that `verify --checkpoint` takes.

    The first run registers the key that signs, which reveals need. Run it on a timer, and keep the
    output where the database's owner cannot change it.

    \b
    Examples:
      vault-etl audit checkpoint
      vault-etl audit checkpoint --quiet --output table > /mnt/worm/checkpoint.txt
    """
    from vault_etl.app import audit

    parts, _ = start(quiet=quiet, verbose=verbose)
    checkpoint = audit.checkpointer(parts)(new_key=new_key)
    if not wants_json(output):
        sys.stdout.write(checkpoint.note)
        return
    print_object(
        {
            "seq": checkpoint.head.seq,
            "hash": checkpoint.head.hash.hex(),
            "checkpoint": checkpoint.note,
        },
        output,
    )


app.command("verify")(audit_verify.verify)
app.command("checkpoint")(_checkpoint)
app.command("export")(audit_segments.export)
app.command("trim")(audit_segments.trim)
app.add_typer(audit_policy.app, name="policy")
