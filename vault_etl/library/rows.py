"""Rows of a program as JSON lines, which an ingest parses as those of a file."""

from __future__ import annotations

import datetime as dt
import decimal
import ipaddress
import itertools
import json
import math
import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Protocol

from typing_extensions import override

from vault_etl.base.errors import UsageError
from vault_etl.base.pii import Pii
from vault_etl.ingest.sources.content import LineContent
from vault_etl.library import needed

Row = Mapping[str, object]


class ArrowTable(Protocol):
    """A table of Arrow, pandas, polars or another library that has Arrow's stream."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Return the capsule of a stream of batches."""


Rows = Iterable[Row] | ArrowTable
"""Rows as dicts, or a table."""

_AS_TEXT = (uuid.UUID, ipaddress.IPv4Address, ipaddress.IPv6Address, decimal.Decimal)
_AS_ISO = (dt.datetime, dt.date)


class RowLines(LineContent):
    """The rows of an iterable, `batch` of them a read. Each is a JSON object in one line, its names in order."""

    def __init__(self, rows: Rows, batch: int) -> None:
        self.name = "the source"
        self._lines = (line + b"\n" for _, line in json_lines(rows))
        self._batch = batch

    @override
    def read(self, seconds: float) -> bytes:
        """Return the next lines, b"" at the end. Raises UsageError, which names a row by its number."""
        return b"".join(itertools.islice(self._lines, self._batch))

    @override
    def close(self) -> None:
        """Leave the iterable to its owner."""


def json_lines(rows: Rows, first: int = 1) -> Iterator[tuple[int, bytes]]:
    """Return each row as JSON, with its number from `first`. Raises UsageError, which names a row by its number."""
    return ((number, _line(row, number)) for number, row in enumerate(_rows_of(rows), first))


def _rows_of(rows: Any) -> Iterator[Row]:  # noqa: ANN401 - a table of any library
    """Return the rows of an iterable, or of a table: of Arrow, pandas, polars or what else has Arrow's stream."""
    if not hasattr(rows, "__arrow_c_stream__"):
        return iter(rows)
    found: Iterator[Row] = needed.arrow().table_rows(rows)
    return found


def _line(row: Row, number: int) -> bytes:
    problem = "is not a mapping of texts"
    if isinstance(row, Mapping):
        try:
            values = {name: None if _is_nan(value) else value for name, value in row.items()}
            return _ENCODER.encode(values).encode("ascii")
        except (TypeError, ValueError, RecursionError):  # whose texts may quote a value
            problem = "has a value that JSON does not have"
    raise UsageError(
        f"row {number} {problem}",
        hint="a row is a dict of texts, numbers, booleans, dates, moments, UUIDs, addresses, Pii or None",
    )


def _is_nan(value: object) -> bool:
    """Tell whether the value is the number that pandas has where there is none."""
    return isinstance(value, float) and math.isnan(value)


def _plain(value: object) -> str:
    if isinstance(value, Pii):
        return value.expose().decode()
    if isinstance(value, _AS_ISO):
        return value.isoformat()
    if isinstance(value, _AS_TEXT):
        return str(value)
    raise TypeError


_ENCODER: Final = json.JSONEncoder(default=_plain, allow_nan=False, sort_keys=True)
"""Made once: `json.dumps` with these arguments makes one for each row."""
