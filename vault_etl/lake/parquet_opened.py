"""Opened rows as JSON lines or Parquet.

The plaintext is no local of a function that can raise: a traceback may show locals.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import pyarrow.parquet as pq

from vault_etl.lake.opened_folder import PlainForm, PlainWriter
from vault_etl.lake.parquet_opening import OpenedBatch


class JsonLines(PlainForm):
    """An object a line, in ASCII: record id, subject, day, and the text of each value; null if it was erased."""

    suffix = ".jsonl"

    def writer(self, file: BinaryIO) -> PlainWriter:
        """Return what writes into an open file."""
        return _JsonWriter(file)


class ParquetFiles(PlainForm):
    """Parquet with the same columns, compressed with zstd."""

    suffix = ".parquet"

    def writer(self, file: BinaryIO) -> PlainWriter:
        """Return what writes into an open file."""
        return _ParquetWriter(file)


class _JsonWriter(PlainWriter):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def add(self, rows: OpenedBatch) -> None:
        self._file.write(_lines(rows))

    def close(self) -> None:
        """A line ends itself."""


def _lines(rows: OpenedBatch) -> bytes:
    return "".join(
        [json.dumps(row, default=str) + "\n" for row in rows.expose().to_pylist()]
    ).encode()


class _ParquetWriter(PlainWriter):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._writer: Any = None

    def add(self, rows: OpenedBatch) -> None:
        if self._writer is None:
            schema = rows.expose().schema
            self._writer = pq.ParquetWriter(
                self._file, schema, compression="zstd", store_schema=False
            )
        self._writer.write_batch(rows.expose())

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
