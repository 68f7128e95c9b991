"""Evidence of a reveal: what was shown, to whom, when and why, and its entry, as CSV or JSON lines."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from vault_etl.base.pii import Pii
from vault_etl.cli.csv_cells import csv_line, plain_cell
from vault_etl.cli.output import plain, utc_text
from vault_etl.crypto.fields import Field
from vault_etl.reveal.reveal import Revealed

_BEFORE: Final = ("record_id", "user_id", "create_date")
_AFTER: Final = ("erased", "action", "login", "time", "reason", "purpose", "ticket")
_ENTRY: Final = ("audit_seq", "audit_hash")


def evidence_of(revealed: Revealed) -> dict[str, object]:
    """One row. A field that was erased is None, and named in `erased`."""
    receipt = revealed.receipt
    request = receipt.request
    return {
        "record_id": revealed.record_id,
        "user_id": revealed.user_id,
        "create_date": revealed.create_date,
        "fields": {field.value: _text(value) for field, value in revealed.fields.items()},
        "erased": [field.value for field, value in revealed.fields.items() if value is None],
        "action": request.action.value,
        "login": receipt.login,
        "time": utc_text(receipt.logged_at),
        "reason": request.reason,
        "purpose": request.purpose,
        "ticket": request.ticket,
        "audit_seq": receipt.seq,
        "audit_hash": receipt.hash.hex(),
        "checkpoint": receipt.checkpoint,
    }


class CsvEvidence:
    """Rows of CSV (RFC 4180, UTF-8, U+000A at the end of a row), without the checkpoint."""

    def __init__(self, fields: Iterable[Field], more: Sequence[str] = ()) -> None:
        """`more` are further columns, which `row` is given."""
        self._fields = [field.value for field in fields]
        self._columns = (*_BEFORE, *more, *self._fields, *_AFTER, *_ENTRY)

    def header(self) -> bytes:
        """The names of the columns."""
        return csv_line(self._columns)

    def row(self, shown: Mapping[str, Any]) -> bytes:
        """One row, none of whose cells is a formula."""
        flat = {**shown, **shown["fields"], "erased": " ".join(shown["erased"])}
        return csv_line([_cell(flat[column]) for column in self._columns])

    def rows(self, content: bytes) -> list[dict[str, Any]]:
        """The rows as `evidence_of` made them, of what comes back. Raises ValueError."""
        text = io.StringIO(content.decode(), newline="")
        try:
            header, *lines = csv.reader(text, strict=True)
        except csv.Error as error:
            raise ValueError from error
        if header != list(self._columns) or any(len(line) != len(header) for line in lines):
            raise ValueError
        cells = [dict(zip(header, map(plain_cell, line), strict=True)) for line in lines]
        return [{**row, "fields": self._fields} for row in cells]

    def begins(self, content: bytes) -> bool:
        """Whether evidence can begin like this: content is a part of the header."""
        return self.header().startswith(content)

    def end_of_rows(self, content: bytes) -> int:
        """Where the last whole row ends: a line feed between quotes is a part of its cell."""
        end = at = quotes = 0
        for line in content.split(b"\n")[:-1]:
            at += len(line) + 1
            quotes += line.count(b'"')
            end = at if quotes % 2 == 0 else end
        return end


class JsonEvidence:
    """One JSON object a line, in ASCII, each with its checkpoint."""

    def header(self) -> bytes:
        """Nothing."""
        return b""

    def row(self, shown: Mapping[str, Any]) -> bytes:
        """One line."""
        return json.dumps(shown, default=plain).encode("ascii") + b"\n"

    def rows(self, content: bytes) -> list[dict[str, Any]]:
        """The objects. Raises ValueError."""
        found = [json.loads(line) for line in content.splitlines()]
        if not all(isinstance(row, dict) and "record_id" in row for row in found):
            raise ValueError
        return found

    def begins(self, content: bytes) -> bool:
        """Whether evidence can begin like this: content is a part of a first row."""
        first = b'{"record_id": "'
        return content.startswith(first) or first.startswith(content)

    def end_of_rows(self, content: bytes) -> int:
        """Where the last whole line ends."""
        return content.rfind(b"\n") + 1


Evidence = CsvEvidence | JsonEvidence


def _cell(value: Any) -> str:  # noqa: ANN401 - whatever a row has
    if isinstance(value, dt.datetime):
        return utc_text(value)
    return "" if value is None else str(value)


def _text(value: Pii | None) -> str | None:
    return None if value is None else value.expose().decode()
