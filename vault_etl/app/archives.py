"""Archives of months: where they are, and the rows in them. Parquet is imported when it is needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vault_etl.base.errors import ConfigurationError
from vault_etl.partitions.archive.manifest import Column
from vault_etl.platform.aws import AwsClients
from vault_etl.platform.store import ArchiveStore
from vault_etl.platform.store_folder import FolderArchive
from vault_etl.platform.store_s3 import S3Archive

if TYPE_CHECKING:
    from vault_etl.partitions.archive.parquet_rows import ParquetRowsReader, ParquetRowsWriter


def archive_at(location: str, aws: Callable[[], AwsClients]) -> ArchiveStore:
    """The archive at an absolute path, or at s3://bucket/prefix. Raises UsageError for another place."""
    if location.startswith("s3://"):
        return S3Archive(aws().s3(), location)
    return FolderArchive(Path(location))


def need_parquet() -> None:
    """Raise ConfigurationError if the package is not installed that reads and writes archives."""
    try:
        import vault_etl.partitions.archive.parquet_rows  # noqa: F401, PLC0415 - other commands do without
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "pyarrow":
            raise
        raise ConfigurationError(
            "archives need the package pyarrow, which is not installed",
            hint='pip install "vault-etl[archive]", or from requirements/archive.txt',
        ) from None


def rows_writer(columns: Sequence[Column], folder: Path, partition: str) -> ParquetRowsWriter:
    """Writes the rows of a partition into files of `folder`. Raises ConfigurationError."""
    need_parquet()
    from vault_etl.partitions.archive.parquet_rows import ParquetRowsWriter  # noqa: PLC0415

    return ParquetRowsWriter(columns, folder, partition)


def rows_reader(columns: Sequence[Column]) -> ParquetRowsReader:
    """Reads the rows of parts. Raises ConfigurationError."""
    need_parquet()
    from vault_etl.partitions.archive.parquet_rows import ParquetRowsReader  # noqa: PLC0415

    return ParquetRowsReader(columns)
