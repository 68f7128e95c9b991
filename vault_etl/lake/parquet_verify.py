"""The rows of a part, for `lake verify`: of its set, sorted, and counted."""

from __future__ import annotations

from pathlib import Path

from vault_etl.archives.manifest import SetManifest
from vault_etl.archives.parquet_columns import schema_of
from vault_etl.archives.parquet_parts import RECORD_ID, ValueCounts, no_part, read_part, set_marks


def count_part(path: Path, manifest: SetManifest, counts: ValueCounts) -> None:
    """Add the rows of a part. Raises DataError for a file that is not of the set, and for ids that do not rise."""
    marks = set_marks(
        manifest.vault_id, manifest.set_id, manifest.event, manifest.declaration_sha256
    )
    last = b""
    for batch in read_part(path, schema_of(manifest.columns), marks):
        for record_id in batch[RECORD_ID].storage.to_pylist():
            if record_id is None or record_id <= last:
                raise no_part(path)
            last = record_id
        counts.add(batch)
