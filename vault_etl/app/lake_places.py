"""Places of sets: their files, the key that signs them, and what the database has on record about them."""

from __future__ import annotations

import contextlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vault_etl.app.partitions import Place, archive_key, archive_store, need_parquet, set_place
from vault_etl.app.parts import Parts
from vault_etl.archives.sets import CurrentSet, delete_set
from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import ConfigurationError, DataError, NotFoundError, UsageError
from vault_etl.lake.postgres import PostgresSets, RecordedSet
from vault_etl.lake.postgres_owner import PostgresDroppedSets
from vault_etl.platform.store import parse_location

_MONTH: Final = re.compile(r"[0-9]{4}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class FoundSet:
    """A set by its place. `recorded` is None if the database does not know the place."""

    location: str
    recorded: RecordedSet | None

    @property
    def sha256(self) -> bytes | None:
        """The SHA-256 of the manifest that counts, if it is on the record."""
        return None if self.recorded is None else self.recorded.manifest_sha256

    def must_be_on_record(self) -> RecordedSet:
        """Return the record. Raises NotFoundError without one, ConfigurationError if the set may not be changed."""
        if self.recorded is None or self.recorded.manifest_sha256 is None:
            message = f"this database has no record of a finished set at {self.location}"
            raise NotFoundError(
                message,
                hint="`vault-etl lake list` lists them; VAULT_ETL_DATABASE_URL is of the vault that made it",
            )
        if not self.recorded.alone:
            message = f"the table of {self.recorded.partition} is beside its archive"
            raise ConfigurationError(
                message, hint="change the table, and run `vault-etl partitions archive` again"
            )
        return self.recorded


def sets(parts: Parts) -> PostgresSets:
    """The sets and the archives of months that the database has on record."""
    return PostgresSets(parts.database, parts.declaration)


def dropped_sets(parts: Parts) -> PostgresDroppedSets:
    """The end of sets on the record, for the owner."""
    return PostgresDroppedSets(parts.database)


def drop_set(parts: Parts, request: AuditRequest, set_id: uuid.UUID, location: str) -> None:
    """Delete the files of a set, then take it off the record. A later run continues.

    Raises DataError if another set is at the place, which a login that seals may have named, or one whose manifest was
    changed.
    """
    with at_place(parts, location) as place, contextlib.suppress(NotFoundError):
        if place.reader.newest_manifest().set_id != set_id:
            message = f"the set at {location} is not the one on the record"
            raise DataError(
                message, hint="inspect the place, and clear it by hand; then run this again"
            )
    record = dropped_sets(parts)
    record.intend(request)
    try:
        delete_set(archive_store(parts, location))
    except BaseException:
        record.failed(request, "failed")
        raise
    record.drop(request, set_id)


def location_of(text: str) -> str:
    """Return the place that a text names. Raises UsageError."""
    return parse_location(text, str(Path.cwd()))


def find_set(parts: Parts, text: str) -> FoundSet:
    """Find a set by its place, or an archive by its month (2024-03) or partition. Raises NotFoundError, UsageError."""
    return _found(text, sets(parts).recorded())


def find_sets(parts: Parts, texts: Sequence[str]) -> list[FoundSet]:
    """Find each of these sets, or all that are on the record."""
    recorded = sets(parts).recorded()
    if not texts:
        return [FoundSet(each.location, each) for each in recorded]
    return [_found(text, recorded) for text in dict.fromkeys(texts)]


def version_that_counts(parts: Parts, found: FoundSet, place: Place) -> tuple[CurrentSet, bool]:
    """Return the version on the record, and True; for a set that the database does not know the highest, and False.

    A copy at another place is known by the id of its set, or by its month. Raises what `SetStore.read` raises.
    """
    current = place.reader.read(found.sha256)
    manifest = current.manifest
    if found.sha256 is not None:
        return current, True
    if manifest.vault_id != parts.checkpoints.vault_id():
        return current, False
    month = manifest.month and manifest.month.partition
    for each in sets(parts).recorded():
        same = each.set_id == manifest.set_id or (month is not None and each.partition == month)
        if same and each.manifest_sha256 is not None:
            return place.reader.read(each.manifest_sha256), True
    return current, False


def must_be_free(parts: Parts, place: Place) -> None:
    """Raise UsageError for a place with files, unless the record has a set there: a seal deletes files."""
    location = place.store.location
    names = place.store.names()
    if names and all(each.location != location for each in sets(parts).recorded()):
        message = f"{location} has files, and no set that was begun here"
        raise UsageError(message, hint="name a new place for the set")


def _found(text: str, recorded: Sequence[RecordedSet]) -> FoundSet:
    months = [each for each in recorded if each.partition is not None]
    named = [each for each in months if each.partition == text]
    if _MONTH.fullmatch(text):
        end = f"_{text.replace('-', '_')}"
        named = [each for each in months if each.partition and each.partition.endswith(end)]
        if not named:
            message = f"there is no archive of {text}"
            raise NotFoundError(message, hint="`vault-etl lake list` lists archives and sets")
    if len(named) > 1:
        names = ", ".join(each.partition or "" for each in named)
        message = f"{text} has several archives: {names}"
        raise UsageError(message, hint="name one of them")
    if named:
        return FoundSet(named[0].location, named[0])
    location = location_of(text)
    return FoundSet(location, next((one for one in recorded if one.location == location), None))


def at_place(parts: Parts, location: str) -> contextlib.AbstractContextManager[Place]:
    """Open the place of a set, also without a database. Raises ConfigurationError, also without pyarrow."""
    need_parquet()
    return set_place(parts, location, archive_key(parts))
