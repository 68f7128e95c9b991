"""Rows of a Parquet file with plaintext, as numbered JSON records: what CSV with the same columns gives.

docs/formats.md, Files, has the spelling of each type.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from vault_etl.base.errors import DataError
from vault_etl.declaration.model import DeclaredEvent
from vault_etl.event.extra_fields import shown_names

ROWS: Final = 500
"""Rows of a piece."""

MAX_RECORD_BYTES: Final = 1024 * 1024
"""Bytes of a record: as of a line of JSON lines."""

_BUFFER_BYTES: Final = 256 * 1024
"""Bytes that are read of a column at once. Without this a whole column of a row group is held."""

_HINT: Final = "a writer such as pyarrow, DuckDB or Spark can cast the column to text or a number"

Arrow = Any
"""A type, an array or a batch of pyarrow, which has no types of its own."""


class PlainRows:
    """The rows of an open Parquet file, whose columns have the names at the top of the messages of an event.

    Columns that the event does not know are not read: `extra_columns` names them, in the form that may be shown.
    """

    def __init__(self, file: BinaryIO, name: str, event: DeclaredEvent) -> None:
        """Read the footer. `name` is the file's in messages.

        Raises DataError for a file that is not Parquet, for a required column that is missing, for a column twice, and
        for a column of a type without a text or a number.
        """
        self._name = name
        self._required = required_columns(event)
        known = {*self._required, *(value.path.names[0] for value in event.values)}
        try:
            self._file = pq.ParquetFile(file, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        except (pa.ArrowException, OSError, ValueError):
            raise self._damaged() from None
        schema = self._file.schema_arrow
        self._check_names(schema.names)
        self._columns = [column for column in schema.names if column in known]
        for column in self._columns:
            if not _is_spelled(schema.field(column).type):
                message = f"the column {column} of {name} has the type {schema.field(column).type}"
                raise DataError(message, hint=_HINT)
        self.extra_columns = shown_names(set(schema.names) - known)
        self.rows: int = self._file.metadata.num_rows

    def pieces(self) -> Iterator[list[tuple[int, bytes]]]:
        """Yield the records, each with its number from 1. Holds `ROWS` rows at a time.

        Raises DataError for data that cannot be read, and for a record of more than `MAX_RECORD_BYTES`.
        """
        done = 0
        batches = self._file.iter_batches(ROWS, columns=self._columns, use_threads=False)
        while (rows := self._next(batches)) is not None:
            records = []
            for number, row in enumerate(rows, done + 1):
                record = record_of(row, self._required)
                if len(record) > MAX_RECORD_BYTES:
                    message = (
                        f"row {number} of {self._name} is longer than {MAX_RECORD_BYTES:,} bytes"
                    )
                    raise DataError(message, hint="no event is that long: is it another table?")
                records.append((number, record))
            done += len(records)
            yield records

    def _next(self, batches: Iterator[Arrow]) -> list[dict[str, object]] | None:
        try:
            batch = next(batches, None)
            if batch is None:
                return None
            rows = rows_of(batch)
        except (pa.ArrowException, OSError, ValueError, OverflowError):
            raise self._damaged() from None
        return rows

    def _check_names(self, names: list[str]) -> None:
        missing = [name for name in self._required if name not in names]
        if missing:
            message = f"{self._name} has no column {', '.join(missing)}: nothing was sealed"
            raise DataError(message, hint=f"the required columns: {', '.join(self._required)}")
        if len(set(names)) != len(names):
            message = f"{self._name} has two columns of one name: nothing was sealed"
            raise DataError(message, hint="rename or remove one of the two")

    def _damaged(self) -> DataError:
        message = f"{self._name} is not a Parquet file, or is damaged"
        return DataError(message, hint="fetch it again")


def required_columns(event: DeclaredEvent) -> tuple[str, ...]:
    """Return the names at the top of a message that the event requires, in the order of its declaration."""
    whens = (event.when.path,) if event.when else ()
    paths = (*whens, *(v.path for v in event.values if v.required and not v.retired))
    return tuple(dict.fromkeys(path.names[0] for path in paths))


def rows_of(batch: Arrow) -> list[dict[str, object]]:
    """Return the rows of a batch by column. NaN is None, and a moment has microseconds.

    Raises the errors of pyarrow, which may quote a value.
    """
    columns = []
    for column in batch.columns:
        kind, found = column.type, column
        if pa.types.is_floating(kind):
            found = pc.if_else(pc.is_nan(column), pa.scalar(None, kind), column)
        elif pa.types.is_timestamp(kind) and kind.unit == "ns":
            found = column.cast(pa.timestamp("us", kind.tz), safe=False)
        columns.append(found)
    rows: list[dict[str, object]] = pa.record_batch(columns, names=batch.schema.names).to_pylist()
    return rows


def record_of(row: Mapping[str, object], required: Collection[str]) -> bytes:
    """Return a row as the JSON of a message. A value that is None is left out, unless it is required."""
    members = {n: v for n, v in row.items() if v is not None or n in required}
    return _ENCODE(members).encode("utf-8", "surrogatepass")


def _is_spelled(kind: Arrow) -> bool:
    """Tell whether values of this type have a text, a number, or members that have."""
    types = pa.types
    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind):
        return _is_spelled(kind.value_type)
    if types.is_struct(kind):
        return all(_is_spelled(field.type) for field in kind)
    plain = (
        types.is_null,
        types.is_boolean,
        types.is_integer,
        types.is_floating,
        types.is_decimal,
        types.is_string,
        types.is_large_string,
        types.is_string_view,
        types.is_date,
        types.is_timestamp,
    )
    return kind == pa.uuid() or any(each(kind) for each in plain)


def _text(value: object) -> str:
    """Spell a value that JSON has no type for."""
    if isinstance(value, dt.date):  # and a moment, which is a day too
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return f"{value:f}"
    if isinstance(value, uuid.UUID):
        return str(value)
    raise TypeError


_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, default=_text).encode
"""Made once: `json.dumps` makes one for each call, which takes a quarter of its time."""
