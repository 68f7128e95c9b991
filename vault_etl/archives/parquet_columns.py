"""PostgreSQL's types in Parquet: the values of a column in COPY's binary format become an array, and back."""

from __future__ import annotations

import array
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from vault_etl.archives.manifest import Column
from vault_etl.archives.numeric_text import numeric_text, numeric_value
from vault_etl.base.errors import ConfigurationError, DataError

Values = Sequence[bytes | None]
Arrow = Any
"""A type or an array of pyarrow, which has no types of its own."""

_DAYS: Final = 10_957
"""Days from 1970-01-01, day 0 of Parquet, to 2000-01-01, day 0 of PostgreSQL."""
_MICROSECONDS: Final = _DAYS * 86_400_000_000


@dataclass(frozen=True, slots=True)
class ColumnKind:
    """A type of PostgreSQL in Parquet. `to_arrow` raises ValueError for a value that Parquet cannot hold."""

    arrow: Arrow
    to_arrow: Callable[[Values], Arrow]
    to_values: Callable[[Arrow], Values]


def kind_of(column: Column) -> ColumnKind:
    """Return the kind of a column. Raises ConfigurationError for a type that is not in `_KINDS`."""
    try:
        return _KINDS[column.type]
    except KeyError:
        message = f"the column {column.name} has the type {column.type}, which no archive holds yet"
        raise ConfigurationError(
            message, hint="nothing was archived; a newer version of vault-etl may know the type"
        ) from None


def schema_of(columns: Sequence[Column]) -> Arrow:
    """Return the schema of a part. Raises ConfigurationError for a type that is not in `_KINDS`."""
    return pa.schema([pa.field(column.name, kind_of(column).arrow) for column in columns])


def arrow_of(column: Column, values: Values) -> Arrow:
    """Convert the values of a column to an array. Raises DataError, which names the column."""
    try:
        return kind_of(column).to_arrow(values)
    except ValueError:  # pyarrow's own errors are ValueErrors
        message = f"the column {column.name} has a value that Parquet cannot hold"
        raise DataError(message, hint="is the value `infinity`?") from None


def values_of(column: Column, found: Arrow) -> Values:
    """Convert an array to the values of a column."""
    return kind_of(column).to_values(found)


def _plain(arrow: Arrow) -> ColumnKind:
    """Return a kind whose bytes are the same on both sides: binary, or text in UTF-8."""
    return ColumnKind(
        arrow,
        lambda values: pa.array(values, pa.binary()).cast(arrow),
        lambda found: found.cast(pa.binary()).to_pylist(),
    )


def _uuid() -> ColumnKind:
    return ColumnKind(
        pa.uuid(),
        lambda values: pa.ExtensionArray.from_storage(pa.uuid(), pa.array(values, pa.binary(16))),
        lambda found: found.storage.to_pylist(),
    )


def _boolean() -> ColumnKind:
    return ColumnKind(
        pa.bool_(),
        lambda values: pa.array([None if v is None else v == b"\1" for v in values], pa.bool_()),
        lambda found: [None if v is None else bytes([v]) for v in found.to_pylist()],
    )


def _numeric() -> ColumnKind:
    """Return a kind of numbers of any size: Parquet has the text of each."""
    return ColumnKind(
        pa.string(),
        lambda values: pa.array(
            [None if v is None else numeric_text(v) for v in values], pa.binary()
        ).cast(pa.string()),
        lambda found: [
            None if v is None else numeric_value(v) for v in found.cast(pa.binary()).to_pylist()
        ],
    )


def _number(code: str, integer: Arrow, arrow: Arrow | None = None, offset: int = 0) -> ColumnKind:
    """Return a kind of integers in two's complement.

    `code` is a type code of the module array. `offset` is the distance between day 0 of PostgreSQL and of Parquet.
    """
    width = array.array(code).itemsize
    extremes = (1 << (8 * width - 1)) - 1, -1 << (8 * width - 1)

    def to_arrow(values: Values) -> Arrow:
        bare = pa.array(values, pa.binary(width))
        mask, data = bare.buffers()
        found = pa.Array.from_buffers(
            integer, len(bare), [mask, _swapped(code, data)], bare.null_count
        )
        if offset:
            if pc.any(pc.is_in(found, pa.array(extremes, integer))).as_py():
                raise ValueError  # infinity and -infinity
            found = pc.add_checked(found, pa.scalar(offset, integer))
        return found.cast(arrow or integer)

    def to_values(found: Arrow) -> Values:
        numbers = found.cast(integer)
        if offset:
            numbers = pc.subtract_checked(numbers, pa.scalar(offset, integer))
        mask, data = pa.concat_arrays([numbers]).buffers()
        swapped = _swapped(code, data)
        bare = pa.Array.from_buffers(pa.binary(width), len(found), [mask, swapped])
        values: Values = bare.to_pylist()
        return values

    return ColumnKind(arrow or integer, to_arrow, to_values)


def _swapped(code: str, data: Arrow) -> Arrow:
    """Convert numbers from big-endian to the byte order of this machine, or back."""
    numbers = array.array(code, data.to_pybytes())
    if sys.byteorder == "little":
        numbers.byteswap()
    return pa.py_buffer(numbers)


_KINDS: Final[Mapping[str, ColumnKind]] = {
    "bigint": _number("q", pa.int64()),
    "boolean": _boolean(),
    "bytea": _plain(pa.binary()),
    "date": _number("i", pa.int32(), pa.date32(), _DAYS),
    "integer": _number("i", pa.int32()),
    "numeric": _numeric(),
    "smallint": _number("h", pa.int16()),
    "text": _plain(pa.string()),
    "timestamp with time zone": _number(
        "q", pa.int64(), pa.timestamp("us", tz="UTC"), _MICROSECONDS
    ),
    "uuid": _uuid(),
}
"""The kinds by PostgreSQL's name of the type, as `format_type` returns it."""
