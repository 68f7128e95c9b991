"""`vault-etl partitions archive`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from vault_etl.audit.entries import Action, clean_reason
from vault_etl.audit.identity import audit_request
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.cli.output import OutputOption, QuietOption, print_object
from vault_etl.cli.partition_change import (
    DryRunOption,
    MonthArgument,
    delete_old,
    must_be,
    shown,
)
from vault_etl.cli.progress import progress
from vault_etl.cli.reason import ReasonOption, TicketOption, reason_for, word
from vault_etl.cli.start import VerboseOption, start
from vault_etl.platform.store_location import ArchiveRoot
from vault_etl.records.partitions import Partition, PartitionState, choose

ToOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="PLACE",
        help="A folder, or s3://bucket/prefix: the archive is made in it. Default: where the one before is.",
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
    """Write a detached month to Parquet files with a signed manifest, read them back, and put it on the record.

    Tokens, ciphertexts, generations and key ids go there as they are: an archive needs the keys of the vault,
    and `keys destroy` counts what it holds. The month stays detached until `partitions drop`. An archive
    from before is deleted once the new one is recorded. If rows are changed meanwhile, by an erasure for
    example, nothing is recorded (exit 75): run it again.

    \b
    Examples:
      vault-etl partitions archive 2024-03 --to /srv/archives --dry-run
      vault-etl partitions archive 2024-03 --to s3://cold/logins --reason "age"
    """
    asked = "dry run" if dry_run else reason_for("to archive a month", reason)
    program, _ = start(quiet=quiet, verbose=verbose)
    partitions = program.partitions()
    partition = choose(partitions.partitions(), month)
    must_be(partition, PartitionState.DETACHED)
    if partition.closed_at is None:
        message = f"{partition.name} was detached by hand"
        raise ConfigurationError(
            message, hint="`vault-etl partitions detach` puts it away on the record first"
        )
    root = _root(to, partition)
    location = program.new_archive(root, partition.name)
    for left in program.leftovers(root, partition):
        sys.stderr.write(f"vault-etl: not on the record, of an interrupted run: {left}\n")
    if dry_run:
        print_object({**shown(partition), "to": location}, output)
        return
    request = audit_request(
        program.identity(),
        Action.PARTITIONS_ARCHIVE,
        clean_reason(f"{partition.name} to {location}: {asked}"),
        ticket=word(ticket, "ticket"),
    )
    total = None if partition.rows is None else 2 * partition.rows
    with (
        progress("archive", total=total, quiet=quiet) as told,
        program.open_archive(location, told) as opened,
    ):
        done = opened.archive(request, partition, opened.note)
    if done.replaced is not None:
        delete_old(program, done.replaced, f"{partition.name} is archived")
    print_object(shown(choose(partitions.partitions(), partition.name)), output)


def _root(to: str | None, partition: Partition) -> ArchiveRoot:
    """Where the archive is made."""
    if to is not None:
        return ArchiveRoot.parse(to, str(Path.cwd()))
    if partition.archive is None:
        message = f"{partition.name} has no archive yet"
        raise UsageError(message, hint="--to says where: a folder, or s3://bucket/prefix")
    return ArchiveRoot.around(partition.archive.location)
