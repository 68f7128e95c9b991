"""`lake verify`: sets on the record, or in a place."""

from __future__ import annotations

from vault_etl.app.lake_places import at_place
from vault_etl.app.partitions import need_parquet
from vault_etl.app.parts import Parts
from vault_etl.lake.verify import VerifiedSet, VerifySet
from vault_etl.platform.clock import Progress


def verify(parts: Parts, location: str, recorded: bytes | None, progress: Progress) -> VerifiedSet:
    """Verify the set at this location: the version with this SHA-256, or for None the highest. Needs no database."""
    need_parquet()
    from vault_etl.archives.parquet_parts import ValueCounts  # noqa: PLC0415
    from vault_etl.lake.parquet_verify import count_part  # noqa: PLC0415

    with at_place(parts, location) as place:
        return VerifySet(place.reader, ValueCounts, count_part, progress)(recorded)
