"""What the commands that change a month have in common."""

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
from vault_etl.partitions.archive import delete_archive
from vault_etl.records.partitions import Partition, PartitionState, choose, sent_at

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
    PartitionState.ATTACHED: "`vault-etl partitions detach` takes it out of the table first",
    PartitionState.DETACHING: "`vault-etl partitions detach` goes on with it",
    PartitionState.ARCHIVED: "`vault-etl partitions restore` brings its table back first",
    PartitionState.DROPPED: "`vault-etl partitions ensure --reopen` makes it again, without its rows",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of one month, as the command line asks for it."""

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
        """Look, ask, do it, and print the month as it is then."""
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
                f"vault-etl: warning: {partition.name} is not over: what is sent in it is quarantined"
                " once it is detached\n"
            )
        if self.dry_run:
            print_object(shown(partition), self.output)
            return
        ends = partition.archive if self.action is Action.PARTITIONS_ATTACH else None
        also = f" Its archive is deleted then: {ends.location}." if ends else ""
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
    """Why a month is not attached."""
    return ConfigurationError(
        f"{partition.name} does not fit: {'; '.join(misfits)}",
        hint="it is left as it was. Old tokens: `vault-etl partitions retoken`, by the role re-encrypt."
        " docs/how-to/months.md, Months that do not fit",
    )


def shown(partition: Partition) -> dict[str, object]:
    """A month as it is printed. Its bounds are moments, and ids where they are none."""
    archive = partition.archive
    return {
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
    """Raise ConfigurationError for a month in another state, with what comes first."""
    if partition.state not in states:
        message = f"{partition.name} is {partition.state.value}"
        raise ConfigurationError(message, hint=_FIRST.get(partition.state))


def delete_old(parts: Parts, location: str, done: str) -> None:
    """Delete an archive that is on the record no more. Raises IncompleteError, which names it, if that fails."""
    from vault_etl.app import partitions

    try:
        delete_archive(partitions.archive_store(parts, location))
    except VaultEtlError as error:
        message = f"{done}, and its archive of before is left: {error}"
        raise IncompleteError(message, hint=f"delete {location} by hand") from None


def _is_over(partition: Partition) -> bool:
    """Whether no event that is sent now is in it."""
    until = sent_at(partition.until)
    return until is not None and until <= dt.datetime.now(dt.UTC)


def in_words(partition: Partition) -> str:
    """A month in a question."""
    rows = "" if partition.rows is None else f"about {partition.rows:,} rows, "
    return f"{partition.name} ({rows}{partition.bytes / 2**20:,.1f} MiB)"
