"""`vault-etl partitions archive`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from vault_etl.archives.declared_event import event_of
from vault_etl.archives.manifest import SetManifest
from vault_etl.audit.entries import Action, clean_reason
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import ConfigurationError, DataError, NotFoundError, UsageError
from vault_etl.cli.partitions_change import (
    MonthArgument,
    delete_old,
    must_be,
    shown,
)
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.options import DryRunOption, YesOption
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_object
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import ReasonOption, TicketOption, confirm, reason_for, word
from vault_etl.platform.store import ArchiveRoot, parse_location
from vault_etl.records.months import Partition, PartitionState, choose

ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="PLACE",
        help="A folder, or s3://bucket/prefix, for the archive. Default: the place of the last archive.",
    ),
]

FromOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="LOCATION",
        help="The present place of the archive. Default: where it was made.",
    ),
]


def archive(
    month: MonthArgument,
    to: ToOption = None,
    *,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Archive a detached month in Parquet files with a signed manifest, and record the archive.

    The files are read back before the archive is recorded. They have the tokens, ciphertexts,
    generations and key ids of the rows: an archive needs the keys of the vault, and `keys destroy`
    counts its values. The month stays detached until `partitions drop`. An older archive is deleted
    when the new one is recorded. If rows change meanwhile, for example by an erasure, nothing is
    recorded (exit 75): run it again.

    \b
    Examples:
      vault-etl partitions archive 2024-03 --to /srv/archives --dry-run
      vault-etl partitions archive 2024-03 --to s3://cold/logins --reason "age"
    """
    from vault_etl.app import partitions

    asked = "dry run" if dry_run else reason_for("to archive a month", reason)
    parts, _ = start(quiet=quiet, verbose=verbose)
    table = partitions.partitions(parts)
    partition = choose(table.partitions(), month)
    must_be(partition, PartitionState.DETACHED)
    if partition.closed_at is None:
        message = f"{partition.name} was detached by hand"
        raise ConfigurationError(
            message, hint="run `vault-etl partitions detach` first, which records it"
        )
    root = _root(to, partition)
    location = partitions.new_archive(root, partition.name)
    for left in partitions.leftovers(parts, root, partition):
        sys.stderr.write(f"vault-etl: an archive of an interrupted run: {left}\n")
    if dry_run:
        print_object({**shown(partition), "to": location}, output)
        return
    request = audit_request(
        parts.identity,
        Action.PARTITIONS_ARCHIVE,
        clean_reason(f"{partition.name} to {location}: {asked}"),
        ticket=word(ticket, "ticket"),
    )
    total = None if partition.rows is None else 2 * partition.rows
    with (
        progress("archive", total=total, quiet=quiet) as told,
        partitions.open_archive(parts, location, told) as opened,
    ):
        done = opened.archive(request, partition)
    if done.replaced is not None:
        delete_old(parts, done.replaced, f"{partition.name} is archived")
    print_object(shown(choose(table.partitions(), partition.name)), output)


def _root(to: str | None, partition: Partition) -> ArchiveRoot:
    """The place of the new archive."""
    if to is not None:
        return ArchiveRoot.parse(to, str(Path.cwd()))
    if partition.archive is None:
        message = f"{partition.name} has no archive yet"
        raise UsageError(message, hint="--to names its place: a folder, or s3://bucket/prefix")
    return ArchiveRoot.around(partition.archive.location)


def restore(
    month: MonthArgument,
    from_: FromOption = None,
    *,
    reason: ReasonOption = None,
    ticket: TicketOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Make the table of an archived month again, audited. The month is then detached.

    The archive's signature, files and rows are checked before the table is made; damage is exit 65.
    Erasures that were made while the month was archived are applied before any role can read a row.
    --from names an archive that was moved, or one that this database does not know after a restore
    from an old backup: a key of this vault must have signed it. Erasures that this database does not
    know must be made again.

    \b
    Examples:
      vault-etl partitions restore 2024-03 --dry-run
      vault-etl partitions restore 2024-03 --reason "audit of 2024"
      vault-etl partitions restore 2024-03 --from /mnt/logins_2024_03-1f2e3d4c
    """
    from vault_etl.app import partitions
    from vault_etl.partitions.restore import month_of, needs_of

    given = None if from_ is None else parse_location(from_, str(Path.cwd()))
    asked = "dry run" if dry_run else reason_for("to restore a month", reason)
    parts, _ = start(quiet=quiet, verbose=verbose)
    table = partitions.partitions(parts)
    partition = _archived(table.partitions(), month, given)
    recorded = partition.archive if partition else None
    location = given or (recorded.location if recorded else "")
    with (
        progress("restore", total=None, quiet=quiet) as told,
        partitions.open_archive(parts, location, told) as opened,
    ):
        current = opened.reader.manifest(recorded.manifest_sha256 if recorded else None)
        manifest = current.manifest
        name = month_of(manifest).partition
        _must_be_the_month(month, partition, manifest)
        event_of(manifest, parts.declaration)
        opened.reader.check(current, told)
        needs = needs_of(manifest, partitions.archives(parts))
        facts = {
            "partition": name,
            "from": location,
            "rows": manifest.contents.rows,
            "archived_at": manifest.made_at,
            "on_the_record": recorded is not None,
            "erasures_since": recorded.erasures if recorded else None,
            "values_under_lost_keys": needs.lost_values,
            "lost_keys": needs.lost_keys,
            "rows_of_other_generations": needs.stale_tokens,
        }
        if dry_run:
            print_object(facts, output)
            return
        if recorded is None:
            confirm(
                f"This database has no record of the archive. Erasures since {manifest.made_at:%Y-%m-%d} that"
                " it does not know are not applied. Restore the archive?",
                yes=yes,
            )
        request = audit_request(
            parts.identity,
            Action.PARTITIONS_RESTORE,
            clean_reason(f"{name} from {location}: {asked}"),
            ticket=word(ticket, "ticket"),
        )
        partitions.archives(parts).intend(request)
        erased = opened.restore(request, current, location, recorded=recorded is not None)
    if needs.lost_values:
        sys.stderr.write(
            f"vault-etl: {needs.lost_values} values cannot be opened: their {needs.lost_keys} data keys are"
            " destroyed or missing\n"
        )
    if needs.stale_tokens:
        sys.stderr.write(
            f"vault-etl: {needs.stale_tokens} rows have tokens of a generation that is not active:"
            " run `vault-etl partitions retoken` before the month is attached\n"
        )
    month_now = shown(choose(table.partitions(), name))
    print_object({**month_now, "erased": erased}, output)


def _archived(partitions: Sequence[Partition], month: str, given: str | None) -> Partition | None:
    """The month of the archive; None if this database does not know the month, which needs a location."""
    try:
        partition = choose(partitions, month)
    except NotFoundError:
        if given is None:
            raise
        return None
    if partition.state is PartitionState.DROPPED and given is not None:
        return partition
    if partition.state is PartitionState.DROPPED:
        message = f"{partition.name} is dropped: it has no recorded archive"
        raise UsageError(message, hint="--from names a copy of its archive, if you have one")
    if partition.state is not PartitionState.ARCHIVED:
        message = f"{partition.name} is {partition.state.value}: its table exists"
        raise ConfigurationError(message, hint="a restore does not replace an existing table")
    return partition


def _must_be_the_month(month: str, partition: Partition | None, manifest: SetManifest) -> None:
    """Raise DataError if the archive is of another month."""
    from vault_etl.partitions.restore import month_of

    of = month_of(manifest)
    found = Partition(
        manifest.event,
        of.partition,
        of.first,
        of.until,
        PartitionState.ARCHIVED,
        None,
        0,
        None,
    )
    same = partition is None or (
        (partition.event, partition.name, partition.first, partition.until)
        == (found.event, found.name, found.first, found.until)
    )
    try:
        choose([found], month)
    except NotFoundError:
        same = False
    if not same:
        message = f"the archive is of {found.name}"
        raise DataError(message, hint="name that month, or another archive; nothing was changed")
