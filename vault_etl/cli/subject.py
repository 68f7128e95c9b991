"""`vault-etl subject`: the group, and `export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from vault_etl.audit.entries import Action
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import VaultEtlError
from vault_etl.cli.audit import listed
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.reveal_output import warn
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.subject_bundle import Bundle
from vault_etl.cli.ui.months import warn_of
from vault_etl.cli.ui.options import known_user
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_object
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import PurposeOption, ReasonOption, TicketOption, reason_for, word
from vault_etl.records.unattached_months import UnsearchedMonths, no_record_of_user
from vault_etl.subject.export import SearchedMessages

MAX_MESSAGES: Final = 100_000

app = typer.Typer(
    help="Answer a person's request for their stored data.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def _group() -> None:
    """Answer a person's request for their stored data."""


@app.command("export")
def _export(
    user_id: Annotated[str, typer.Argument(help="The id of the user, which must match exactly.")],
    *,
    to: Annotated[
        Path,
        typer.Option(help="A new directory, with mode 0700.", show_default=False),
    ],
    messages: Annotated[
        int,
        typer.Option(
            min=0,
            max=MAX_MESSAGES,
            help="Search at most this many quarantined messages, the newest.",
        ),
    ] = 100,
    reason: ReasonOption = None,
    purpose: PurposeOption = None,
    ticket: TicketOption = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Write all stored data of a user into a directory, signed. Each access is an entry in the log.

    The directory has the user's records with their personal fields (`records.csv`, `records.jsonl`),
    the quarantined messages that name the user (`messages.jsonl`), the entries of the audit log about
    both (`log.jsonl`), and a README that says what was searched. `SHA256SUMS` lists each file, and is
    signed by the key of the audit log: `sha256sum -c` and `openssl dgst` verify it.

    The search for the records is one access; so is each record, and each message that is opened,
    whether it names the user or not. The quota must allow all of them (exit 77). A record that does
    not open is named, and the others continue (exit 65). An export without SHA256SUMS is incomplete.

    \b
    Examples:
      vault-etl subject export 4711 --to r-17 --reason "request 17" --ticket T-17
      vault-etl subject export 4711 --to r-17 --messages 0 --reason "request 17"
    """
    from vault_etl.app import audit, quarantine, records
    from vault_etl.app.audit import LastCheckpoint
    from vault_etl.app.subject import export_subject

    user = known_user(user_id)
    asked = reason_for("an export", reason)
    kind, reference = word(purpose, "purpose"), word(ticket, "ticket")
    Bundle.must_be_new(to)
    parts, _ = start(quiet=quiet, verbose=verbose, is_traced=True)
    request = audit_request(parts.identity, Action.FIND, asked, purpose=kind, ticket=reference)
    audit.check_role(parts, *NEEDED_ROLES["subject export"], requests=lambda: [request])
    with (
        LastCheckpoint() as keep,
        progress("subject export", total=None, quiet=quiet) as bar,
    ):
        export = export_subject(parts, request, bar, keep)
        reader = quarantine.reader(parts)
        rows = list(reader.rows(limit=messages)) if messages else []
        in_quarantine = sum(count.count for count in reader.counts())
        with UnsearchedMonths(records.months(parts)) as left:
            found = export.records_of(user)
        warn_of(left.months)
        if not found.count and not rows:
            raise no_record_of_user(left.months)
        held = {record.record_id: record for record in found.newest}
        export.must_be_within(audit.policy(parts).allowance().accesses, len(held), len(rows))
        bundle = Bundle(to, parts.declaration)
        through = SearchedMessages(in_quarantine=in_quarantine)
        try:
            for shown, match, entries in export.messages(user, rows, through):
                bundle.add_message(shown, match)
                bundle.add_entries(map(listed, entries))
            for revealed, entries in export.records(list(held), warn):
                bundle.add_record(held[revealed.record_id], revealed)
                bundle.add_entries(map(listed, entries))
            manifest = bundle.finish(
                user,
                found,
                through,
                [i for i, _ in export.batch.failed],
                [month.partition for month in left.months],
                keep.checkpoint,
                export.last_trimmed(),
            )
            key, signature = audit.sign_text(parts, manifest)
            bundle.sign(manifest, key.key, signature)
        except (VaultEtlError, KeyboardInterrupt):
            sys.stderr.write(f"vault-etl: the export is incomplete: {to} has no SHA256SUMS\n")
            raise
        finally:
            bundle.close()
    print_object(
        {
            "to": str(to),
            "records": bundle.records,
            "messages": through.named,
            "messages_opened": through.opened,
            "messages_in_quarantine": in_quarantine,
            "log_entries": bundle.entries,
            "not_searched": [month.partition for month in left.months],
        },
        output,
    )
    export.batch.complain(len(held))
