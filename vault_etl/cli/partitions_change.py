"""`partitions detach` and `attach`, and the parts that all commands of one month share."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final

import typer

from vault_etl.audit.entries import Action, clean_reason
from vault_etl.audit.log import audit_request
from vault_etl.base.errors import ConfigurationError, IncompleteError, VaultEtlError
from vault_etl.cli.start import start
from vault_etl.cli.ui.output import OutputFormat, print_object
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.prompts import confirm, reason_for, word
from vault_etl.records.months import Partition, PartitionState, choose, sent_at

if TYPE_CHECKING:
    from vault_etl.app.parts import Parts

MonthArgument = Annotated[
    str, typer.Argument(metavar="MONTH", help="YYYY-MM, or the name of a partition.")
]

_STATES: Final = {
    Action.PARTITIONS_DETACH: (
        PartitionState.ATTACHED,
        PartitionState.DETACHING,
        PartitionState.DETACHED,
    ),
    Action.PARTITIONS_ATTACH: (PartitionState.DETACHED,),
}
_FIRST: Final = {
    PartitionState.ATTACHED: "`vault-etl partitions detach` detaches it first",
    PartitionState.DETACHING: "`vault-etl partitions detach` continues the interrupted detach",
    PartitionState.ARCHIVED: "`vault-etl partitions restore` restores its table first",
    PartitionState.DROPPED: "`vault-etl partitions ensure --reopen` makes it again, without its rows",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of one month, with the options of the command line."""

    action: Action
    month: str
    reason: str | None
    ticket: str | None
    dry_run: bool
    yes: bool
    output: OutputFormat | None
    quiet: bool
    verbose: bool
    wait_s: float = 60.0

    def __call__(self) -> None:
        """Check the month, ask, change it, and print its new state."""
        from vault_etl.app import partitions

        verb = self.action.value.split()[1]
        asked = "dry run" if self.dry_run else reason_for(f"to {verb} a month", self.reason)
        parts, _ = start(quiet=self.quiet, verbose=self.verbose)
        table = partitions.partitions(parts, self.wait_s)
        partition = choose(table.partitions(), self.month)
        must_be(partition, *_STATES[self.action])
        with progress(verb, total=None, quiet=self.quiet):
            misfits = table.misfits(partition) if self.action is Action.PARTITIONS_ATTACH else ()
        if misfits:
            raise does_not_fit(partition, misfits)
        if self.action is Action.PARTITIONS_DETACH and not _is_over(partition):
            sys.stderr.write(
                f"vault-etl: warning: {partition.name} is not over: messages of this month are quarantined"
                " once it is detached\n"
            )
        if self.dry_run:
            print_object(shown(partition), self.output)
            return
        ends = partition.archive if self.action is Action.PARTITIONS_ATTACH else None
        also = f" Afterwards its archive is deleted: {ends.location}." if ends else ""
        confirm(f"{verb.capitalize()} {in_words(partition)}?{also}", yes=self.yes)
        request = audit_request(
            parts.identity,
            self.action,
            clean_reason(f"{partition.name}: {asked}"),
            ticket=word(self.ticket, "ticket"),
        )
        with progress(verb, total=None, quiet=self.quiet):
            getattr(table, verb)(request, partition)
        if self.action is Action.PARTITIONS_ATTACH and partition.archive is not None:
            delete_old(parts, partition.archive.location, f"{partition.name} is attached")
        print_object(shown(choose(table.partitions(), partition.name)), self.output)


def does_not_fit(partition: Partition, misfits: Sequence[str]) -> ConfigurationError:
    """The error of a month that cannot be attached."""
    return ConfigurationError(
        f"{partition.name} does not fit: {'; '.join(misfits)}",
        hint="the month is unchanged. For old tokens run `vault-etl partitions retoken`, as the role re-encrypt."
        " docs/how-to/months.md, Months that do not fit",
    )


def shown(partition: Partition) -> dict[str, object]:
    """The members of a month in the output."""
    archive = partition.archive
    return {
        "event": partition.event,
        "partition": partition.name,
        "from": sent_at(partition.first),
        "until": sent_at(partition.until),
        "state": partition.state.value,
        "rows": partition.rows,
        "bytes": partition.bytes,
        "closed_at": partition.closed_at,
        "archive": archive and archive.location,
        "archived_at": archive and archive.archived_at,
        "manifest_sha256": archive and archive.manifest_sha256.hex(),
        "erasures_since": archive and archive.erasures,
        "changed_since": archive and archive.changed,
    }


def must_be(partition: Partition, *states: PartitionState) -> None:
    """Raise ConfigurationError for a month in another state; the hint says what to do first."""
    if partition.state not in states:
        message = f"{partition.name} is {partition.state.value}"
        raise ConfigurationError(message, hint=_FIRST.get(partition.state))


def delete_old(parts: Parts, location: str, done: str) -> None:
    """Delete an archive that is no longer recorded. Raises IncompleteError, which names the archive, if that fails."""
    from vault_etl.app import partitions
    from vault_etl.archives.sets import delete_set

    try:
        delete_set(partitions.archive_store(parts, location))
    except VaultEtlError as error:
        message = f"{done}, but its old archive is not deleted: {error}"
        raise IncompleteError(message, hint=f"delete {location} by hand") from None


def _is_over(partition: Partition) -> bool:
    """Decide whether the month has ended: no event that is sent now belongs to it."""
    until = sent_at(partition.until)
    return until is not None and until <= dt.datetime.now(dt.UTC)


def in_words(partition: Partition) -> str:
    """The name and size of a month, for a question."""
    rows = "" if partition.rows is None else f"about {partition.rows:,} rows, "
    return f"{partition.name} ({rows}{partition.bytes / 2**20:,.1f} MiB)"
