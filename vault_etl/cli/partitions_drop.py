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
from vault_etl.partitions.archive import delete_archive
from vault_etl.records.partitions import Archive, Partition, PartitionState, choose

if TYPE_CHECKING:
    from vault_etl.app.parts import Parts


def drop(
    month: MonthArgument,
    *,
    without_archive: Annotated[
        bool, typer.Option("--without-archive", help="Its rows are nowhere else, and may go.")
    ] = False,
    archive: Annotated[
        bool,
        typer.Option(
            "--archive", help="Of an archived month: delete its archive, and its rows with it."
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
    """Delete the table of a detached month, on the record. The month stays closed.

    It has to have an archive, which is read first: signature, files and rows. The month is `archived` then,
    and `partitions restore` brings it back. Without an archive (--without-archive) it is gone for good, and so
    is an archived month whose archive is deleted (--archive): it is `dropped`, and this cannot be undone. Every
    backup still has what is deleted.

    \b
    Examples:
      vault-etl partitions drop 2024-03 --dry-run
      vault-etl partitions drop 2024-03 --reason "it is archived"
      vault-etl partitions drop 2024-03 --archive --reason "retention: 7 years"
      vault-etl partitions drop 2024-03 --without-archive --reason "retention"
    """
    from vault_etl.app import partitions

    if archive and without_archive:
        message = "--archive and --without-archive are of different months"
        raise UsageError(message, hint="`vault-etl partitions list` shows which have an archive")
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
    """Raise UsageError or ConfigurationError unless the month is what the options say it is."""
    if archive and partition.state is PartitionState.DETACHED:
        message = (
            f"{partition.name} is detached: --archive is of a month whose archive alone is left"
        )
        raise UsageError(message, hint="drop its table first, without --archive")
    if not archive and partition.state is PartitionState.ARCHIVED:
        message = f"{partition.name} is archived: its table is dropped already"
        raise UsageError(message, hint="--archive deletes its archive, and its rows with it")
    must_be(partition, PartitionState.DETACHED, PartitionState.ARCHIVED)
    if archive:
        return
    if partition.archive is None and not without_archive:
        message = f"{partition.name} is in no archive"
        raise UsageError(
            message,
            hint="`vault-etl partitions archive` makes one; --without-archive deletes its rows all the same",
        )
    if partition.archive is not None and without_archive:
        message = f"{partition.name} has an archive, at {partition.archive.location}"
        raise UsageError(
            message, hint="leave out --without-archive; then --archive ends that as well"
        )
    if partition.archive is not None and partition.archive.changed:
        message = f"{partition.name} was changed since it was archived, by an erasure most likely"
        raise ConfigurationError(message, hint="`vault-etl partitions archive` archives it again")


def _question(partition: Partition, *, archive: bool) -> str:
    found = partition.archive
    if found is not None and archive:
        return (
            f"Delete the archive of {partition.name}, at {found.location}? Its rows are nowhere else:"
            " this cannot be undone."
        )
    where = "" if found is None else " Its rows are in its archive then."
    return f"Drop {in_words(partition)}?{where}"


def _end(parts: Parts, request: AuditRequest, partition: Partition, archive: Archive) -> None:
    """Files first: what is on the record as dropped is gone. Run again after an interruption, it goes on."""
    from vault_etl.app import partitions

    archives = partitions.archives(parts)
    archives.intend(request)
    try:
        delete_archive(partitions.archive_store(parts, archive.location))
    except BaseException:
        archives.failed(request, "failed")
        raise
    archives.drop(request, partition)
