"""`vault-etl partitions drop`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from vault_etl.audit.entries import Action, AuditRequest, clean_reason
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.cli.partitions_change import (
    MonthArgument,
    in_words,
    must_be,
    shown,
)
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption, YesOption
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_object
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import ReasonOption, TicketOption, confirm, reason_for, word
from vault_etl.records.months import Archive, Partition, PartitionState, choose

if TYPE_CHECKING:
    from vault_etl.app.parts import Parts


def drop(
    month: MonthArgument,
    *,
    without_archive: Annotated[
        bool, typer.Option("--without-archive", help="Delete rows that no archive has.")
    ] = False,
    archive: Annotated[
        bool,
        typer.Option(
            "--archive", help="Of an archived month: delete the archive, which has its only rows."
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
    """Delete the table of a detached month, audited. The month stays closed.

    The month must have an archive, whose signature, files and rows are checked first. Then the month
    is `archived`, and `partitions restore` makes its table again. Without an archive
    (--without-archive) the rows are lost, and so are the rows of an archived month whose archive is
    deleted (--archive): the month is `dropped`, which cannot be undone. Backups still have the rows.

    \b
    Examples:
      vault-etl partitions drop 2024-03 --dry-run
      vault-etl partitions drop 2024-03 --reason "it is archived"
      vault-etl partitions drop 2024-03 --archive --reason "retention: 7 years"
      vault-etl partitions drop 2024-03 --without-archive --reason "retention"
    """
    from vault_etl.app import partitions

    if archive and without_archive:
        message = "--archive and --without-archive exclude each other"
        raise UsageError(
            message, hint="`vault-etl partitions list` shows which months have an archive"
        )
    asked = "dry run" if dry_run else reason_for("to drop a month", reason)
    parts, _ = start(quiet=quiet, verbose=verbose)
    partition = choose(partitions.partitions(parts).partitions(), month)
    has = partition.archive
    _check(partition, archive=archive, without_archive=without_archive)
    if has is not None and not archive:
        with (
            progress("check the archive", total=partition.rows, quiet=quiet) as told,
            partitions.open_archive(parts, has.location, told) as opened,
        ):
            opened.reader.check(opened.reader.manifest(has.manifest_sha256), told)
    if dry_run:
        print_object(shown(partition), output)
        return
    confirm(_question(partition, archive=archive), yes=yes)
    request = audit_request(
        parts.identity,
        Action.PARTITIONS_DROP,
        clean_reason(f"{partition.name}: {asked}"),
        ticket=word(ticket, "ticket"),
    )
    if has is not None and archive:
        _end(parts, request, partition, has)
    else:
        with progress("drop", total=None, quiet=quiet):
            partitions.partitions(parts).drop(request, partition)
    print_object(shown(choose(partitions.partitions(parts).partitions(), partition.name)), output)


def _check(partition: Partition, *, archive: bool, without_archive: bool) -> None:
    """Raise UsageError or ConfigurationError unless the state of the month fits the options."""
    if archive and partition.state is PartitionState.DETACHED:
        message = (
            f"{partition.name} is detached: --archive is for a month that only its archive holds"
        )
        raise UsageError(message, hint="drop its table first, without --archive")
    if not archive and partition.state is PartitionState.ARCHIVED:
        message = f"{partition.name} is archived: its table is already deleted"
        raise UsageError(message, hint="--archive deletes its archive, which has its only rows")
    must_be(partition, PartitionState.DETACHED, PartitionState.ARCHIVED)
    if archive:
        return
    if partition.archive is None and not without_archive:
        message = f"{partition.name} has no archive"
        raise UsageError(
            message,
            hint="`vault-etl partitions archive` makes one; --without-archive deletes its rows without one",
        )
    if partition.archive is not None and without_archive:
        message = f"{partition.name} has an archive, at {partition.archive.location}"
        raise UsageError(
            message, hint="leave out --without-archive; --archive deletes the archive afterwards"
        )
    if partition.archive is not None and partition.archive.changed:
        message = f"{partition.name} changed after it was archived, most likely by an erasure"
        raise ConfigurationError(message, hint="`vault-etl partitions archive` archives it again")


def _question(partition: Partition, *, archive: bool) -> str:
    found = partition.archive
    if found is not None and archive:
        return (
            f"Delete the archive of {partition.name}, at {found.location}? No other copy of its rows"
            " exists: this cannot be undone."
        )
    where = "" if found is None else " Its archive keeps the rows."
    return f"Drop {in_words(partition)}?{where}"


def _end(parts: Parts, request: AuditRequest, partition: Partition, archive: Archive) -> None:
    """Delete the files, then record the end: a month recorded as dropped has no files. A later run continues."""
    from vault_etl.app import partitions
    from vault_etl.archives.sets import delete_set

    archives = partitions.archives(parts)
    archives.intend(request)
    try:
        delete_set(partitions.archive_store(parts, archive.location))
    except BaseException:
        archives.failed(request, "failed")
        raise
    archives.drop(request, partition)
