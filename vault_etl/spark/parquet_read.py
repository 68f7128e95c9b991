"""The sealed rows of a set as a data frame. Nothing is opened."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from vault_etl.app.lake_places import at_place, find_set, version_that_counts
from vault_etl.archives.parquet_columns import schema_of
from vault_etl.lake.parquet_changes import PartReader
from vault_etl.spark.errors import task_errors
from vault_etl.spark.parts import SetJob
from vault_etl.spark.process import process_vault

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def read(spark: SparkSession, place: str) -> DataFrame:
    """Return the sealed rows of a set, or of the archive of a month, by its place or its month.

    Spark itself does not read Parquet with UUIDs: here a UUID is 16 bytes, as in the columns of `tokenize`, so that
    frames join on tokens. The frame is lazy. Executors check each part against the signed manifest, which the driver
    found; a set that is rotated meanwhile has to be read again. Any role may do this that reads the files.
    """
    parts = process_vault().parts
    found = find_set(parts, place)
    with at_place(parts, found.location) as files:
        current, _ = version_that_counts(parts, found, files)
    schema = schema_of(current.manifest.columns)
    columns = ", ".join(f"`{field.name}` {_spark_type(field.type)}" for field in schema)
    job = SetJob(found.location, current.sha256)
    count = len(current.manifest.parts)
    numbers = spark.range(0, count, 1, max(1, count))
    return numbers.mapInArrow(functools.partial(_rows, job), columns)


def _rows(job: SetJob, batches: Iterable[Any]) -> Iterator[Any]:
    """Yield the rows of parts. Runs on an executor."""
    with task_errors():
        for batch in batches:
            for at in batch["id"].to_pylist():
                with job.part(at) as one:
                    for rows in PartReader.of(one.current)(one.path):
                        columns = [_of_spark(column) for column in rows.columns]
                        yield pa.record_batch(columns, rows.schema.names)


def _of_spark(column: Any) -> Any:  # noqa: ANN401 - arrays of pyarrow
    return column.storage.cast(pa.binary()) if column.type == pa.uuid() else column


def _spark_type(arrow: Any) -> str:  # noqa: ANN401 - a type of pyarrow
    return _TYPES.get(str(arrow), "binary")


_TYPES: Final = {
    "string": "string",
    "bool": "boolean",
    "int16": "smallint",
    "int32": "int",
    "int64": "bigint",
    "date32[day]": "date",
    "timestamp[us, tz=UTC]": "timestamp",
}
"""Spark's names of the types of parts. Others are bytes: UUIDs and ciphertexts."""
