"""A table with a column of values becomes the same table with their tokens: Parquet or CSV, a batch at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.csv as pc_csv
import pyarrow.parquet as pq

from vault_etl.base.errors import DataError, UsageError
from vault_etl.platform.store_folder import files_translated, new_file

ROWS: Final = 65_536
"""Rows of a batch: as many values as one entry of the log may have."""

_CSV_BYTES: Final = 2**20
"""Bytes of CSV that are read at once: fewer than `ROWS` rows, since a row of two columns has 16 bytes at least."""

_BUFFER_BYTES: Final = 256 * 1024

Arrow = Any
"""An array or a batch of pyarrow, which has no types of its own."""

MakeTokens = Callable[[Arrow], tuple[Arrow, Sequence[int]]]
"""Makes the tokens of a column, and names the values that have none (`BatchTokens.tokens`)."""


class TableWithTokens:
    """Reads a table from an open file, and writes it with tokens.

    The column `column` of the values has the name `token` in what is written. `name` is the file's in messages.
    """

    def __init__(
        self, file: BinaryIO, name: str, *, is_parquet: bool, column: str, token: str
    ) -> None:
        """Read the beginning. Raises DataError for another content, UsageError without the column."""
        self._name = name
        self._token = token
        try:
            found, self._batches = _parquet(file) if is_parquet else _csv(file)
        except (pa.ArrowException, OSError, ValueError):
            raise self._damaged() from None
        self.schema = found.remove_metadata()  # of pandas: about the column of values
        if self.schema.names.count(column) != 1:
            message = f"{name} has no column {column}, or has it twice"
            raise UsageError(message, hint="--column names the column of the values")
        if token in self.schema.names:
            message = f"{name} has a column {token} already"
            raise UsageError(message, hint="rename it")
        self._at = self.schema.names.index(column)

    def write(
        self, target: Path, make: MakeTokens, told: Callable[[int], None]
    ) -> tuple[int, list[int]]:
        """Write the table into a new file, Parquet if its name ends so, and else CSV. A whole file gets the name.

        Return the number of rows, and the rows, from 1, whose value the field cannot hold. `told` is given the rows of
        each batch. A null has no token. Raises DataError for content that cannot be read, IncompleteError if the file
        exists, and what `make` raises: then there is no file.
        """
        waiting = target.with_name(f"{target.name}.part")  # of a killed run it may be there
        with files_translated(target):
            if os.path.lexists(target):
                raise FileExistsError
            waiting.unlink(missing_ok=True)
            with new_file(waiting) as file:
                done = self._write(file, make, told, as_parquet=target.suffix == ".parquet")
            waiting.rename(target)
        return done

    def _write(
        self, file: BinaryIO, make: MakeTokens, told: Callable[[int], None], *, as_parquet: bool
    ) -> tuple[int, list[int]]:
        rows, unheld = 0, list[int]()
        schema = self.schema.set(
            self._at, pa.field(self._token, pa.uuid() if as_parquet else pa.string())
        )
        try:
            with _writer(file, schema, as_parquet=as_parquet) as writer:
                while (batch := self._next()) is not None:
                    tokens, without = make(batch.column(self._at))
                    unheld += [rows + index + 1 for index in without]
                    columns = [*batch.columns]
                    columns[self._at] = tokens if as_parquet else _text(tokens)
                    writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
                    rows += len(batch)
                    told(len(batch))
        except pa.ArrowException:
            message = f"{self._name} has a column that CSV cannot hold"
            raise DataError(message, hint="write Parquet, or leave the column out") from None
        return rows, unheld

    def _next(self) -> Arrow | None:
        try:
            return next(self._batches, None)
        except (pa.ArrowException, OSError, ValueError):
            raise self._damaged() from None

    def _damaged(self) -> DataError:
        message = f"{self._name} is not a table, or is damaged"
        return DataError(message, hint="give CSV with a header row, or Parquet")


def _parquet(file: BinaryIO) -> tuple[Arrow, Iterator[Arrow]]:
    opened = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
    return opened.schema_arrow, opened.iter_batches(ROWS, use_threads=False)


def _csv(file: BinaryIO) -> tuple[Arrow, Iterator[Arrow]]:
    """Read CSV with a header row. Every cell is text, and an empty one is null."""
    names = pc_csv.open_csv(file, read_options=pc_csv.ReadOptions(use_threads=False)).schema.names
    file.seek(0)
    opened = pc_csv.open_csv(
        file,
        read_options=pc_csv.ReadOptions(use_threads=False, block_size=_CSV_BYTES),
        parse_options=pc_csv.ParseOptions(newlines_in_values=True),
        convert_options=pc_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()),
            null_values=[""],
            strings_can_be_null=True,
        ),
    )
    return opened.schema, iter(opened)


def _writer(file: BinaryIO, schema: Arrow, *, as_parquet: bool) -> Arrow:
    if as_parquet:
        return pq.ParquetWriter(file, schema, compression="zstd")
    return pc_csv.CSVWriter(file, schema, write_options=pc_csv.WriteOptions(quoting_style="needed"))


def _text(tokens: Arrow) -> Arrow:
    return pa.array([None if t is None else str(t) for t in tokens.to_pylist()], pa.string())
