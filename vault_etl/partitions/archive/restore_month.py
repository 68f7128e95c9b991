"""Bring the rows of a month back from its archive."""

from __future__ import annotations

from dataclasses import dataclass

from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import VaultEtlError
from vault_etl.partitions.archive.manifest import Manifest
from vault_etl.partitions.archive.months import (
    ArchivedMonths,
    CheckedManifest,
    NewArchive,
    RestoredMonths,
)
from vault_etl.partitions.archive.read_archive import ReadArchive
from vault_etl.platform.clock import Progress


@dataclass(frozen=True, slots=True)
class Needs:
    """What the rows of an archive need and is not there any more."""

    lost_values: int
    """Values under data keys that were destroyed, or are not there: they open no more."""
    lost_keys: int
    stale_tokens: int
    """Rows that name a generation of tokens that is not active."""


def needs_of(manifest: Manifest, months: RestoredMonths) -> Needs:
    """By the manifest's counts."""
    keys = manifest.contents.keys
    lost = months.lost_keys(sorted({key.key_id for key in keys}))
    active = months.active_generation()
    return Needs(
        lost_values=sum(key.values for key in keys if key.key_id in lost),
        lost_keys=len(lost),
        stale_tokens=sum(
            each.rows for each in manifest.contents.generations if each.generation != active
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreMonth:
    """`partitions restore`."""

    months: RestoredMonths
    log: ArchivedMonths
    reader: ReadArchive
    progress: Progress

    def __call__(
        self, request: AuditRequest, checked: CheckedManifest, location: str, *, recorded: bool
    ) -> int:
        """Make the table, on the record; how many rows were erased in it, since they were erased meanwhile.

        Everything was read once before, so what is read now is only compared. Raises as
        `RestoredMonths.restore`: with an error nothing is changed.
        """
        archive = NewArchive(location, checked.sha256, checked.contents.rows)
        pages = self.reader.pages(checked, self.progress)
        try:
            return self.months.restore(request, checked.manifest, archive, pages, recorded=recorded)
        except BaseException as error:
            self.log.failed(
                request, "failed" if isinstance(error, VaultEtlError) else "interrupted"
            )
            raise
