"""Evidence of a reveal: what was shown, to whom, when and why, and its entry, as CSV or JSON lines."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from vault_etl.cli.csv_cells import csv_line, plain_cell
from vault_etl.cli.output import plain, utc_text
from vault_etl.core.audit import AuditRequest
from vault_etl.core.fields import Field
from vault_etl.core.pii import Pii
from vault_etl.errors import NotFoundError, UsageError
from vault_etl.services.reveal import Revealed

_BEFORE: Final = ("record_id", "user_id", "create_date")
_ASKED: Final = ("action", "reason", "purpose", "ticket")
"""What has to be the same in every row of one request, beside its fields."""
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
        header, *lines = csv.reader(text, strict=True)
        if header != list(self._columns) or any(len(line) != len(header) for line in lines):
            raise ValueError
        cells = [dict(zip(header, map(plain_cell, line), strict=True)) for line in lines]
        return [{**row, "fields": self._fields} for row in cells]

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

    def end_of_rows(self, content: bytes) -> int:
        """Where the last whole line ends."""
        return content.rfind(b"\n") + 1


Evidence = CsvEvidence | JsonEvidence


class EvidenceFile:
    """A file for its owner alone (mode 0600) that rows are added to; each is on the disk before the next."""

    def __init__(self, path: Path, form: Evidence, request: AuditRequest, *, resume: bool) -> None:
        """Make the file. With `resume`, an earlier run's may be there, of the same request.

        `done` has the records that it has; a last row that is cut off is taken away. Raises UsageError for
        a file that is there already or is of another request, NotFoundError for one that cannot be written.
        """
        self._form = form
        self._path = path
        self.done: frozenset[uuid.UUID] = frozenset()
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | (0 if resume else os.O_EXCL)
        try:
            self._file: BinaryIO = os.fdopen(os.open(path, flags, 0o600), "a+b")
        except FileExistsError:
            message = f"{path} is there already"
            raise UsageError(message, hint="--resume goes on with it") from None
        except OSError as error:
            message = f"{path} cannot be written: {error.strerror}"
            raise NotFoundError(message, hint="check the name of the file") from None
        try:
            self._go_on(request)
        except BaseException:
            self._file.close()
            raise

    def add(self, shown: Mapping[str, Any]) -> None:
        """Store a row."""
        self._write(self._form.row(shown))
        self._is_empty = False

    def close(self) -> None:
        """Close the file. One without a row is taken away."""
        self._file.close()
        if self._is_empty:
            self._path.unlink(missing_ok=True)

    def _go_on(self, request: AuditRequest) -> None:
        self._file.seek(0)
        content = self._file.read()
        end = self._form.end_of_rows(content)
        self._is_empty = not end
        if end:
            self.done = _same_request(self._form, content[:end], request, self._path)
        self._file.truncate(end)
        if not end:
            self._write(self._form.header())

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._file.flush()
        os.fsync(self._file.fileno())


def _same_request(
    form: Evidence, content: bytes, request: AuditRequest, path: Path
) -> frozenset[uuid.UUID]:
    """The records of rows whose reason, purpose, ticket, action and fields are the request's."""
    asked = [request.action.value, request.reason, request.purpose or "", request.ticket or ""]
    fields = sorted(field.value for field in request.fields)
    try:
        rows = form.rows(content)
        found = frozenset(uuid.UUID(row["record_id"]) for row in rows)
        same = all(_asked(row) == asked and sorted(row["fields"]) == fields for row in rows)
    except (ValueError, KeyError, TypeError, AttributeError):
        message = f"{path} is no evidence of this form and these fields"
        raise UsageError(message, hint="--resume goes on with a file of the same command") from None
    if not same:
        message = f"{path} is evidence of another request"
        raise UsageError(
            message, hint="its rows have another reason, purpose, ticket, --field or --masked"
        )
    return found


def _cell(value: Any) -> str:  # noqa: ANN401 - whatever a row has
    if isinstance(value, dt.datetime):
        return utc_text(value)
    return "" if value is None else str(value)


def _asked(row: Mapping[str, Any]) -> Sequence[str]:
    return [row[name] or "" for name in _ASKED]


def _text(value: Pii | None) -> str | None:
    return None if value is None else value.expose().decode()
