"""The file that `reveal --to` writes: evidence for its owner alone, each row on the disk before the next."""

from __future__ import annotations

import fcntl
import os
import stat
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from vault_etl.audit.entries import AuditRequest
from vault_etl.base.errors import NotFoundError, UsageError
from vault_etl.cli.evidence import Evidence

_MODE: Final = 0o600
_ASKED: Final = ("action", "reason", "purpose", "ticket")
"""What has to be the same in every row of one request, beside its fields."""


class EvidenceFile:
    """A regular file of mode 0600 that rows are added to. One run at a time has it."""

    def __init__(self, path: Path, form: Evidence, request: AuditRequest, *, resume: bool) -> None:
        """Make the file. With `resume`, an earlier run's may be there, of the same request.

        `done` has the records that it has. Its last row is taken away if it is cut off: nothing else of
        a file that is there ever is. Raises UsageError for a file that is there already, that is another
        kind of file or another user's, that others may read, that another run has, that holds anything
        but evidence, or that is of another request. Raises NotFoundError for one that cannot be written.
        """
        self._form = form
        self._path = path
        self.done: frozenset[uuid.UUID] = frozenset()
        self._file, self._is_new = _open(path, resume=resume)
        try:
            _own(self._file.fileno(), path)
            self._go_on(request)
        except BaseException:
            self._file.close()
            raise

    def add(self, shown: Mapping[str, Any]) -> None:
        """Store a row."""
        self._write(self._form.row(shown))
        self._is_new = False

    def close(self) -> None:
        """Close the file. One that this run made is taken away if it has no row."""
        if self._is_new:
            self._path.unlink(missing_ok=True)
        self._file.close()

    def _go_on(self, request: AuditRequest) -> None:
        self._file.seek(0)
        content = self._file.read()
        end = self._form.end_of_rows(content)
        if end:
            self.done = _same_request(self._form, content[:end], request, self._path)
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
    """The file, open for both, and whether it was made now."""
    flags = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC
    try:
        try:
            return os.fdopen(os.open(path, flags | os.O_CREAT | os.O_EXCL, _MODE), "a+b"), True
        except FileExistsError:
            if not resume:
                message = f"{path} is there already"
                raise UsageError(message, hint="--resume goes on with it") from None
            _must_be_a_file(path, os.lstat(path))
            there = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
            return os.fdopen(there, "a+b"), False
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}"
        raise NotFoundError(message, hint="check the name of the file") from None


def _must_be_a_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        message = f"{path} is no regular file"
        raise UsageError(message, hint="evidence goes into a file; no link, pipe or device")


def _own(descriptor: int, path: Path) -> None:
    """Raises UsageError for a file that anybody else can read, or is written to now."""
    found = os.fstat(descriptor)
    _must_be_a_file(path, found)
    if found.st_uid != os.geteuid() or found.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        message = f"others may read {path}"
        raise UsageError(message, hint="evidence is for its owner alone: chmod 600, as the owner")
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        message = f"another run writes to {path}"
        raise UsageError(message, hint="wait for its end, or name another file") from None


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
    message = f"{path} is no evidence of this form and these fields"
    return UsageError(message, hint="--resume goes on with a file of the same command")
