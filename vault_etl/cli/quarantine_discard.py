"""`vault-etl quarantine discard`."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
import uuid
from typing import Annotated, Final

import typer

from vault_etl.audit.entries import Action
from vault_etl.audit.identity import audit_request
from vault_etl.base.errors import NotFoundError, UsageError
from vault_etl.cli.confirm import confirm
from vault_etl.cli.moments import SinceOption, UntilOption, utc
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.output import OutputFormat, OutputOption, QuietOption, print_object
from vault_etl.cli.progress import progress
from vault_etl.cli.quarantine_filter import ReasonCodeOption, SourceOption
from vault_etl.cli.reason import ReasonOption, TicketOption, reason_for, word
from vault_etl.cli.start import VerboseOption, start
from vault_etl.crypto.fields import Field
from vault_etl.quarantine.discard import Matching
from vault_etl.quarantine.read import QuarantineFilter

_MAX_IDS: Final = 1_000
_HINT: Final = "`vault-etl quarantine list --summary` shows what there is"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("discard")(_discard)


def _discard(
    record_ids: Annotated[
        list[uuid.UUID] | None, typer.Argument(metavar="ID…", help="The record_id.")
    ] = None,
    *,
    reason_code: ReasonCodeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    every: Annotated[bool, typer.Option("--all", help="Every quarantined message.")] = False,
    if_due: Annotated[
        bool,
        typer.Option(
            "--if-due",
            help="What is older than VAULT_ETL_QUARANTINE_MAX_AGE_DAYS: for a timer. Needs no --reason.",
        ),
    ] = False,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Delete quarantined messages for good: rows and sealed bodies, for a reason, on the record.

    A message has to match all that is given. It goes in batches of 1,000, the oldest first; each is
    one transaction with its entries in the audit log. Safe to interrupt and to run again. A message
    that comes again, from a queue or a file, is quarantined again; one that was erased is left, as
    its row keeps it from coming back. Every backup still has what is deleted.

    \b
    Examples:
      vault-etl quarantine discard --until 2026-01-31 --dry-run
      vault-etl quarantine discard --source 019a… --reason "the wrong file"
      vault-etl quarantine discard --if-due --yes
    """
    ids = list(dict.fromkeys(record_ids)) if record_ids else None
    wanted = QuarantineFilter(
        reason_code=reason_code.value if reason_code else None,
        since=utc(since),
        until=utc(until),
        source=source,
    )
    named = ids is not None or wanted != QuarantineFilter()
    if named + every + if_due != 1:
        message = "say which: an ID, a --reason-code, a time, a --source; or --all; or --if-due; not two of these"
        raise UsageError(message, hint=_HINT)
    if ids is not None and len(ids) > _MAX_IDS:
        message = f"there are more than {_MAX_IDS} ids"
        raise UsageError(message, hint="give fewer at a time, or a reason, a time or a source")
    program, settings = start(quiet=quiet, verbose=verbose)
    if every:
        wanted = QuarantineFilter(older_than=dt.timedelta(0))
    if if_due:
        days = settings.quarantine_max_age_days
        if days == 0:
            _say("nothing is due: VAULT_ETL_QUARANTINE_MAX_AGE_DAYS is 0", quiet=quiet)
            _print(Matching(0, None, None), output)
            return
        wanted = QuarantineFilter(older_than=dt.timedelta(days=days))
        reason = reason or f"older than {days} days"
    request = audit_request(
        program.identity(),
        Action.QUARANTINE_DISCARD,
        "dry run" if dry_run else reason_for("a discard", reason),
        record_id=ids[0] if ids and len(ids) == 1 else None,
        fields=(Field.QUARANTINE,),
        ticket=word(ticket, "ticket"),
    )
    program.check_role(
        *NEEDED_ROLES["quarantine discard"], requests=lambda: [] if dry_run else [request]
    )
    with progress("discard", total=None, quiet=quiet) as bar:
        discard = program.discard_quarantine(bar, request.request_id)
        matching = discard.matching(wanted, ids)
    if ids is not None and not matching.messages:
        message = "no such message is in quarantine"
        raise NotFoundError(message, hint="it may be a record by now, or erased; " + _HINT)
    if dry_run or not matching.messages:
        _say("" if matching.messages else "nothing is quarantined that matches", quiet=quiet)
        _print(matching, output)
        return
    confirm(f"Discard {_text(matching)} for good?", yes=yes)
    # What comes while it runs stays, and was not counted.
    wanted = dataclasses.replace(wanted, until=matching.until, older_than=None)
    with progress("discard", total=matching.messages, quiet=quiet) as bar:
        discarded = program.discard_quarantine(bar, request.request_id)(request, wanted, ids)
    _print(dataclasses.replace(matching, messages=discarded), output)


def _text(matching: Matching) -> str:
    messages = f"{matching.messages:,} quarantined message{'s' * (matching.messages != 1)}"
    return f"{messages}, from {matching.oldest:%Y-%m-%d} to {matching.newest:%Y-%m-%d},"


def _say(text: str, *, quiet: bool) -> None:
    if text and not quiet:
        sys.stderr.write(f"vault-etl: {text}\n")


def _print(matching: Matching, output: OutputFormat | None) -> None:
    print_object(
        {"messages": matching.messages, "oldest": matching.oldest, "newest": matching.newest},
        output,
    )
