"""`vault-etl quarantine retry` and `discard`, which change or delete quarantined messages."""

from __future__ import annotations

import dataclasses
import datetime as dt
import sys
import uuid
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import DataError, NotFoundError, UsageError
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.months import say_what_opens
from vault_etl.cli.ui.options import (
    DryRunOption,
    ReasonCodeOption,
    SinceOption,
    SourceOption,
    UntilOption,
    YesOption,
    utc,
)
from vault_etl.cli.ui.output import (
    OutputFormat,
    OutputOption,
    QuietOption,
    print_object,
)
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import (
    ReasonOption,
    TicketOption,
    confirm,
    reason_for,
    word,
)
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.keys.value_keys import naming
from vault_etl.quarantine.discard import MatchingMessages
from vault_etl.quarantine.read import QuarantineFilter, RetryFilter
from vault_etl.quarantine.retry import RetryReport

if TYPE_CHECKING:
    from vault_etl.app.parts import Parts

_MAX_IDS: Final = 1_000
_HINT: Final = "`vault-etl quarantine list --summary` shows the messages"

_SHOWN_IDS: Final = 10


def discard(
    record_ids: Annotated[
        list[uuid.UUID] | None, typer.Argument(metavar="ID…", help="The record_id.")
    ] = None,
    *,
    reason_code: ReasonCodeOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    source: SourceOption = None,
    every: Annotated[bool, typer.Option("--all", help="All quarantined messages.")] = False,
    if_due: Annotated[
        bool,
        typer.Option(
            "--if-due",
            help="For a timer: messages older than VAULT_ETL_QUARANTINE_MAX_AGE_DAYS. Needs no --reason.",
        ),
    ] = False,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Delete quarantined messages for good, rows and sealed bodies; needs a reason, and is audited.

    A message must match all options. Messages are deleted in batches of 1,000, the oldest first; each
    batch is one transaction with its entries in the audit log. Safe to interrupt and to run again. A
    message that is received again, from a queue or a file, is quarantined again. Erased messages stay:
    their rows keep the messages from coming back. Backups still have the deleted messages.

    \b
    Examples:
      vault-etl quarantine discard --until 2026-01-31 --dry-run
      vault-etl quarantine discard --source 019a… --reason "the wrong file"
      vault-etl quarantine discard --if-due --yes
    """
    from vault_etl.app import audit, quarantine

    ids = list(dict.fromkeys(record_ids)) if record_ids else None
    wanted = QuarantineFilter(
        reason_code=reason_code.value if reason_code else None,
        since=utc(since),
        until=utc(until),
        source=source,
    )
    named = ids is not None or wanted != QuarantineFilter()
    if named + every + if_due != 1:
        message = "select messages by ids, reason, time or source, or by --all, or by --if-due, and not by two of these"
        raise UsageError(message, hint=_HINT)
    if ids is not None and len(ids) > _MAX_IDS:
        message = f"there are more than {_MAX_IDS} ids"
        raise UsageError(message, hint="give fewer at a time, or select by reason, time or source")
    parts, settings = start(quiet=quiet, verbose=verbose)
    if every:
        wanted = QuarantineFilter(older_than=dt.timedelta(0))
    if if_due:
        days = settings.quarantine_max_age_days
        if days == 0:
            _say("nothing is due: VAULT_ETL_QUARANTINE_MAX_AGE_DAYS is 0", quiet=quiet)
            _print_matching(MatchingMessages(0, None, None), output)
            return
        wanted = QuarantineFilter(older_than=dt.timedelta(days=days))
        reason = reason or f"older than {days} days"
    request = audit_request(
        parts.identity,
        Action.QUARANTINE_DISCARD,
        "dry run" if dry_run else reason_for("a discard", reason),
        record_id=ids[0] if ids and len(ids) == 1 else None,
        fields=(QUARANTINE,),
        ticket=word(ticket, "ticket"),
    )
    audit.check_role(
        parts, *NEEDED_ROLES["quarantine discard"], requests=lambda: [] if dry_run else [request]
    )
    with progress("discard", total=None, quiet=quiet) as bar:
        discard = quarantine.discard(parts, bar, request.request_id)
        matching = discard.matching(wanted, ids)
    if ids is not None and not matching.messages:
        message = "no such message is in quarantine"
        raise NotFoundError(message, hint="the message may be a record now, or erased; " + _HINT)
    if dry_run or not matching.messages:
        _say("" if matching.messages else "no quarantined message matches", quiet=quiet)
        _print_matching(matching, output)
        return
    confirm(f"Discard {_text(matching)} for good?", yes=yes)
    # Messages that come while it runs were not counted, and stay.
    wanted = dataclasses.replace(wanted, until=matching.until, older_than=None)
    with progress("discard", total=matching.messages, quiet=quiet) as bar:
        discarded = quarantine.discard(parts, bar, request.request_id)(request, wanted, ids)
    _print_matching(dataclasses.replace(matching, messages=discarded), output)


def _text(matching: MatchingMessages) -> str:
    messages = f"{matching.messages:,} quarantined message{'s' * (matching.messages != 1)}"
    return f"{messages}, from {matching.oldest:%Y-%m-%d} to {matching.newest:%Y-%m-%d},"


def _say(text: str, *, quiet: bool) -> None:
    if text and not quiet:
        sys.stderr.write(f"vault-etl: {text}\n")


def _print_matching(matching: MatchingMessages, output: OutputFormat | None) -> None:
    print_object(
        {"messages": matching.messages, "oldest": matching.oldest, "newest": matching.newest},
        output,
    )


def retry(
    record_ids: Annotated[
        list[uuid.UUID] | None, typer.Argument(metavar="ID…", help="The record_id.")
    ] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All quarantined messages.")] = False,
    reason_code: ReasonCodeOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Parse quarantined messages again with the present rules; valid ones become records.

    A record keeps the id of its message. A message that fails again stays, with its old reason. Safe
    to interrupt, to run again, and to run beside ingest. A body that does not open is unchanged and
    named; the command then exits 65. A dry run opens bodies too, so both are entries in the audit log.
    Unknown fields are dropped and counted, as by `ingest`. Messages of a month that is detached,
    archived or dropped stay, are counted as `month_closed`, and the month is named.

    \b
    Examples:
      vault-etl quarantine retry --all --dry-run
      vault-etl quarantine retry --reason-code not_an_address --yes
      vault-etl quarantine retry 019a… --yes
    """
    from vault_etl.app import audit, quarantine

    if bool(record_ids) + every + (reason_code is not None) != 1:
        message = (
            "a retry takes the IDs of messages, or --all, or a --reason-code, and not two of them"
        )
        raise UsageError(message, hint="`vault-etl quarantine list` shows the messages")
    parts, settings = start(quiet=quiet, verbose=verbose)
    code = reason_code.value if reason_code else None
    wanted = RetryFilter(list(dict.fromkeys(record_ids)) if record_ids else None, code)
    request = _retry_request(parts, wanted, dry_run=dry_run)
    audit.check_role(parts, *NEEDED_ROLES["quarantine retry"], requests=lambda: [request])
    counts = quarantine.reader(parts).counts(QuarantineFilter(reason_code=code))
    total = len(wanted.only) if wanted.only else sum(count.count for count in counts)
    if not dry_run:
        confirm(f"Retry {total} quarantined message{'s' * (total != 1)}?", yes=yes)
    with progress("retry", total=total, quiet=quiet) as bar:
        retry = quarantine.retry(parts, bar, request.request_id)
        run = retry.count if dry_run else retry.move
        report = run(request, wanted, strict=settings.strict)
    print_object(
        {
            "retried": report.retried,
            "moved": report.moved,
            "still_quarantined": report.still_quarantined,
            "month_closed": report.month_closed,
            "not_opened": report.not_opened,
            "not_found": report.not_found,
            "extra_fields": report.extra_fields,
            "extra_field_names": report.extra_field_names,
        },
        output,
    )
    closed = f"{report.month_closed} of these wait for closed months"
    say_what_opens(report.closed, closed)
    _complain(report)


def _retry_request(parts: Parts, wanted: RetryFilter, *, dry_run: bool) -> AuditRequest:
    what = "every message" if wanted.only is None else f"{len(wanted.only)} messages by their ids"
    if wanted.reason_code is not None:
        what = f"{what} of the reason {wanted.reason_code}"
    return audit_request(
        parts.identity,
        Action.QUARANTINE_RETRY,
        f"{'count what would pass of' if dry_run else 'parse again'} {what}",
        record_id=wanted.only[0] if wanted.only and len(wanted.only) == 1 else None,
        fields=(QUARANTINE,),
    )


def _complain(report: RetryReport) -> None:
    """Raise at the end for messages that do not open, or are not in quarantine."""
    if report.not_opened:
        message = f"{len(report.not_opened)} messages do not open: {_some(report.not_opened)}"
        raise naming(
            DataError(message, hint="they are unchanged; everything else is done"),
            report.at_fault,
        )
    if report.not_found:
        message = f"{len(report.not_found)} ids are not in quarantine, or are erased: {_some(report.not_found)}"
        raise NotFoundError(message, hint="they may be records now; everything else is done")


def _some(ids: tuple[uuid.UUID, ...]) -> str:
    return ", ".join(str(record_id) for record_id in ids[:_SHOWN_IDS])
