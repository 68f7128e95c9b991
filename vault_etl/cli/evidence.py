"""Evidence of a reveal, as CSV or JSON lines: the values, the login, time and reason, and the entry; and its file."""

from __future__ import annotations

import csv
import datetime as dt
import fcntl
import io
import json
import os
import stat
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import NotFoundError, UsageError
from vault_etl.base.pii import Pii
from vault_etl.cli.ui.output import plain, utc_text
from vault_etl.cli.ui.record_names import RecordNames, value_names
from vault_etl.declaration.model import Declaration
from vault_etl.reveal.reveal import Revealed

_AFTER: Final = ("erased", "action", "login", "time", "reason", "purpose", "ticket")
_ENTRY: Final = ("audit_seq", "audit_hash")

_MODE: Final = 0o600

_ASKED: Final = ("action", "reason", "purpose", "ticket")
"""The members that every row of one request shares, beside its fields."""

_MARK: Final = "'"

_STARTS: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20", _MARK)
"""Characters that begin a formula (OWASP, CSV Injection), and the mark itself, so that it can be removed again."""


def evidence_of(revealed: Revealed, names: RecordNames) -> dict[str, object]:
    """Evidence of one record. An erased value is None, and named in `erased`."""
    receipt = revealed.receipt
    request = receipt.request
    return {
        **names.record(revealed.event, revealed.record_id, revealed.subject, revealed.day),
        "fields": {name: _text(value) for name, value in revealed.values.items()},
        "erased": [name for name, value in revealed.values.items() if value is None],
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
    """Evidence as CSV (RFC 4180, UTF-8, U+000A at the end of a row), without the checkpoint."""

    def __init__(self, names: RecordNames, values: Iterable[str], more: Sequence[str] = ()) -> None:
        """Take the names of all values of the request, and `more` columns that rows have."""
        self._fields = list(values)
        self._more = more
        self._columns = (*names.columns, *more, *self._fields, *_AFTER, *_ENTRY)

    def header(self) -> bytes:
        """The names of the columns."""
        return csv_line(self._columns)

    def row(self, shown: Mapping[str, Any]) -> bytes:
        """A row, in which no cell is a formula to a spreadsheet."""
        empty = dict.fromkeys((*self._more, *self._fields))
        flat = {**empty, **shown, **shown["fields"], "erased": " ".join(shown["erased"])}
        return csv_line([_cell(flat[column]) for column in self._columns])

    def rows(self, content: bytes) -> list[dict[str, Any]]:
        """Parse rows back into what `evidence_of` made. Raises ValueError for other content."""
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
        """Decide whether evidence can begin with this content: it is a part of the header."""
        return self.header().startswith(content)

    def end_of_rows(self, content: bytes) -> int:
        """The offset at which the last whole row ends. A line feed between quotes is a part of its cell."""
        end = at = quotes = 0
        for line in content.split(b"\n")[:-1]:
            at += len(line) + 1
            quotes += line.count(b'"')
            end = at if quotes % 2 == 0 else end
        return end


class JsonEvidence:
    """Evidence as JSON lines in ASCII: one object a line, each with its checkpoint."""

    def header(self) -> bytes:
        """The empty header of JSON lines."""
        return b""

    def row(self, shown: Mapping[str, Any]) -> bytes:
        """A line."""
        return json.dumps(shown, default=plain).encode("ascii") + b"\n"

    def rows(self, content: bytes) -> list[dict[str, Any]]:
        """Parse lines back into objects. Raises ValueError for other content."""
        found = [json.loads(line) for line in content.splitlines()]
        if not all(isinstance(row, dict) and "record_id" in row for row in found):
            raise ValueError
        return found

    def begins(self, content: bytes) -> bool:
        """Decide whether evidence can begin with this content: it is a part of a first row."""
        first = b'{"record_id": "'
        return content.startswith(first) or first.startswith(content)

    def end_of_rows(self, content: bytes) -> int:
        """The offset at which the last whole line ends."""
        return content.rfind(b"\n") + 1


Evidence = CsvEvidence | JsonEvidence


def _cell(value: Any) -> str:  # noqa: ANN401 - whatever a row has
    if isinstance(value, dt.datetime):
        return utc_text(value)
    return "" if value is None else str(value)


def _text(value: Pii | None) -> str | None:
    return None if value is None else value.expose().decode()


class EvidenceFile:
    """The file of `reveal --to`: regular, mode 0600, for one run at a time, each row on the disk before the next."""

    def __init__(
        self,
        path: Path,
        form: Evidence,
        request: AuditRequest,
        declaration: Declaration,
        *,
        resume: bool,
    ) -> None:
        """Make the file. With `resume`, continue the file of an earlier run of the same request.

        `done` is the set of records in the file. A last row that is incomplete is removed; nothing else of
        an existing file is. Raises UsageError if the file exists (without `resume`), is not a regular file, is
        another user's, is readable by others, is locked by another run, has content that is not evidence, or
        is evidence of another request. Raises NotFoundError if it cannot be written.
        """
        self._form = form
        self._path = path
        self.done: frozenset[uuid.UUID] = frozenset()
        self._file, self._is_new = _open(path, resume=resume)
        try:
            _own(self._file.fileno(), path)
            self._go_on(request, declaration)
        except BaseException:
            self._file.close()
            raise

    def add(self, shown: Mapping[str, Any]) -> None:
        """Store a row."""
        self._write(self._form.row(shown))
        self._is_new = False

    def close(self) -> None:
        """Close the file. A file that this run made is deleted if it has no row."""
        if self._is_new:
            self._path.unlink(missing_ok=True)
        self._file.close()

    def _go_on(self, request: AuditRequest, declaration: Declaration) -> None:
        self._file.seek(0)
        content = self._file.read()
        end = self._form.end_of_rows(content)
        if end:
            rows = content[:end]
            self.done = _same_request(self._form, rows, request, declaration, self._path)
        elif not self._form.begins(content):
            raise _no_evidence(self._path)
        if end < len(content):
            self._file.truncate(end)
        if not end:
            self._write(self._form.header())

    def _write(self, content: bytes) -> None:
        self._file.write(content)
        self._file.flush()
        os.fsync(self._file.fileno())


def _open(path: Path, *, resume: bool) -> tuple[BinaryIO, bool]:
    """The file, open for reading and appending, and whether it is new."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
    try:
        try:
            return os.fdopen(os.open(path, flags | os.O_CREAT | os.O_EXCL, _MODE), "a+b"), True
        except FileExistsError:
            if not resume:
                message = f"{path} exists already"
                raise UsageError(message, hint="--resume continues it") from None
            _must_be_a_file(path, os.lstat(path))
            there = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
            return os.fdopen(there, "a+b"), False
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise NotFoundError(message, hint="check the name of the file") from None


def _must_be_a_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        message = f"{path} is not a regular file"
        raise UsageError(message, hint="name a file, not a link, pipe or device")


def _own(descriptor: int, path: Path) -> None:
    """Raise UsageError for a file that others can read, or that another run writes to."""
    found = os.fstat(descriptor)
    _must_be_a_file(path, found)
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"others may read {path}"
        raise UsageError(message, hint="only the owner may read evidence: chmod 600, as the owner")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        message = f"another run writes to {path}"
        raise UsageError(message, hint="wait for that run, or name another file") from None


def _same_request(
    form: Evidence, content: bytes, request: AuditRequest, declaration: Declaration, path: Path
) -> frozenset[uuid.UUID]:
    """The records in the rows. Raises UsageError unless action, reason, purpose, ticket and fields are the same."""
    asked = [request.action.value, request.reason, request.purpose or "", request.ticket or ""]
    events = declaration.events
    sets = (events, *((event,) for event in events))
    fields = [sorted(value_names(each, request.fields)) for each in sets]
    try:
        rows = form.rows(content)
        found = frozenset(uuid.UUID(row["record_id"]) for row in rows)
        same = all(_asked(row) == asked and sorted(row["fields"]) in fields for row in rows)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise _no_evidence(path) from None
    if not same:
        message = f"{path} is evidence of another request"
        raise UsageError(
            message, hint="its rows have another reason, purpose, ticket, --field or --masked"
        )
    return found


def _asked(row: Mapping[str, Any]) -> Sequence[str]:
    return [row[name] or "" for name in _ASKED]


def _no_evidence(path: Path) -> UsageError:
    message = f"{path} is not evidence of this form and these fields"
    return UsageError(message, hint="--resume continues a file of the same command")


def csv_line(cells: Iterable[str]) -> bytes:
    """A row of RFC 4180, ended by U+000A, in UTF-8.

    A cell that a spreadsheet would take for a formula, also after blanks and controls, is marked with U+0027.
    """
    line = io.StringIO()
    csv.writer(line).writerow(
        map(_safe, cells)
    )  # the writer quotes cells with either character of its CR LF
    return line.getvalue().removesuffix("\r\n").encode() + b"\n"


def plain_cell(cell: str) -> str:
    """The text of a cell of `csv_line`, without the mark."""
    return cell.removeprefix(_MARK)


def _safe(text: str) -> str:
    begins = text.lstrip("\0\t\r\n \u00a0")
    return _MARK + text if begins.startswith(_STARTS) or text[:1] in {"\t", "\r"} else text
