"""`vault-etl audit …`: the group, and `audit list`."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Annotated

import typer

from vault_etl.cli import audit_checkpoint, audit_policy, audit_verify
from vault_etl.cli.output import OutputOption, QuietOption, print_rows
from vault_etl.cli.start import VerboseOption, start
from vault_etl.ports.audit_log import AuditEntry

app = typer.Typer(
    help="Read, prove and sign the audit log.", no_args_is_help=True, rich_markup_mode=None
)


@app.callback()
def _audit() -> None:
    """Read, prove and sign the audit log."""


@app.command("list")
def _list(
    *,
    since: Annotated[
        dt.datetime | None, typer.Option(help="Only entries from then on (UTC).")
    ] = None,
    record: Annotated[
        uuid.UUID | None, typer.Option(help="Only entries about this record.")
    ] = None,
    actor: Annotated[
        str | None, typer.Option(help="Only entries of this actor (ARN) or database login.")
    ] = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Show who looked at what, and why.

    \b
    Examples:
      vault-etl audit list --since 2026-01-31
      vault-etl audit list --record 019a… --output json
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    moment = since.replace(tzinfo=dt.UTC) if since and since.tzinfo is None else since
    entries = program.audit_reader().entries(since=moment, record_id=record, actor=actor)
    print_rows(
        (_listed(entry) for entry in entries),
        output,
        columns=("seq", "time", "login", "action", "decision", "reason"),
        empty="no entries",
        last=8,  # of words: there is much before them
    )


def _listed(entry: AuditEntry) -> dict[str, object]:
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


audit_verify.register(app)
audit_checkpoint.register(app)
app.add_typer(audit_policy.app, name="policy")
