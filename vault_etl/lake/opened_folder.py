"""The plaintext of a set: a folder with a file for each part and the receipts, or standard output."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Protocol

from vault_etl.archives.manifest import part_number
from vault_etl.archives.sets import CurrentSet
from vault_etl.audit.entries import AuditReceipt, AuditRequest
from vault_etl.base.errors import UsageError
from vault_etl.lake.open import OpenedPart, OpenedParts
from vault_etl.platform.store_folder import files_translated, new_file

if TYPE_CHECKING:
    from vault_etl.lake.parquet_opening import OpenedBatch

RECEIPTS: Final = "opened.jsonl"
"""A line for each part that was opened: its entry, and the signed note of the log."""

_PENDING: Final = ".opening"
"""The end of the name of a file whose outcome is not committed."""


class PlainWriter(Protocol):
    """Writes opened rows into a file."""

    def add(self, rows: OpenedBatch) -> None:
        """Write a batch."""

    def close(self) -> None:
        """Write the end of the file."""


class PlainForm(Protocol):
    """A form of plaintext files: JSON lines, or Parquet."""

    suffix: str
    """The end of the names of files, such as `.jsonl`."""

    def writer(self, file: BinaryIO) -> PlainWriter:
        """Return what writes into an open file."""


class OpenedFolder(OpenedParts):
    """A folder of mode 0700 with plaintext files of mode 0600, for one request.

    A file gets its name when its outcome is committed. What a killed run left is deleted by the next run.
    """

    def __init__(
        self, path: Path, current: CurrentSet, request: AuditRequest, form: PlainForm
    ) -> None:
        """Make the folder, or continue an earlier run of the same request.

        Raises UsageError if the folder is another user's or open to others, has other files, or is in use by another
        run.
        """
        self._path = path
        self._parts = current.manifest.parts
        self._form = form
        self._asked: Mapping[str, object] = {
            "set_id": str(current.manifest.set_id),
            "manifest_sha256": current.sha256.hex(),
            "output": form.suffix,
            "fields": sorted(request.fields),
            "reason": request.reason,
            "purpose": request.purpose,
            "ticket": request.ticket,
        }
        with files_translated(path):
            with contextlib.suppress(FileExistsError):
                path.mkdir(mode=0o700)
            _must_be_private(path)
            self._lock = _locked(path)
            try:
                for left in path.glob(f"*{_PENDING}"):
                    left.unlink()
                names = {each.name for each in path.iterdir()}
                self._done = frozenset(names.intersection(self._receipts()))
                _must_be_alone(path, names - self._done)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Let another run use the folder."""
        os.close(self._lock)

    def has(self, at: int) -> bool:
        """Tell whether the folder has the file of a part, and its receipt."""
        return self._name(at) in self._done

    @contextlib.contextmanager
    def part(self, at: int) -> Iterator[OpenedPart]:
        """Begin the file of a part."""
        pending = self._path / f"{self._name(at)}{_PENDING}"
        try:
            with files_translated(pending), new_file(pending) as file:
                yield _PendingFile(self, at, file, pending, self._form.writer(file))
        finally:
            pending.unlink(missing_ok=True)

    def add_receipt(self, at: int, receipt: AuditReceipt) -> None:
        """Store the receipt of a part, durably."""
        line = {
            "file": self._name(at),
            "rows": self._parts[at].rows,
            "request": self._asked,
            "login": receipt.login,
            "time": receipt.logged_at.isoformat(),
            "audit_seq": receipt.seq,
            "audit_hash": receipt.hash.hex(),
            "checkpoint": receipt.checkpoint,
        }
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(self._path / RECEIPTS, flags, 0o600), "ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def name_of(self, at: int) -> Path:
        """Return the file of a part."""
        return self._path / self._name(at)

    def _name(self, at: int) -> str:
        return f"part-{part_number(self._parts[at].name):05}{self._form.suffix}"

    def _receipts(self) -> list[str]:
        """Return the names of the files that have a receipt. A last line that is incomplete is removed.

        Raises UsageError if a receipt is of another request.
        """
        path = self._path / RECEIPTS
        content = path.read_bytes() if path.exists() else b""
        whole = content[: content.rfind(b"\n") + 1]
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        try:
            lines = [json.loads(line) for line in whole.splitlines()]
            if all(line["request"] == self._asked for line in lines):
                return [str(line["file"]) for line in lines]
        except (ValueError, KeyError, TypeError):
            pass
        message = f"{self._path} has what another request opened"
        raise UsageError(
            message,
            hint="another set, reason, purpose, ticket, --field or --output: name another folder",
        )


@dataclass(frozen=True, slots=True)
class _PendingFile(OpenedPart):
    """A file without its name."""

    folder: OpenedFolder
    at: int
    file: BinaryIO
    path: Path
    writer: PlainWriter

    def add(self, rows: OpenedBatch) -> None:
        """Write a batch."""
        with files_translated(self.path):
            self.writer.add(rows)

    def end(self) -> None:
        """Write the end of the file to the disk."""
        with files_translated(self.path):
            self.writer.close()
            self.file.flush()
            os.fsync(self.file.fileno())

    def keep(self, receipt: AuditReceipt) -> None:
        """Store the receipt of the file, and give it its name."""
        self.folder.add_receipt(self.at, receipt)
        self.path.rename(self.folder.name_of(self.at))


@dataclass(frozen=True, slots=True)
class OpenedStream(OpenedParts):
    """Standard output, which gets the rows of a part when its outcome is committed. `folder` is a private one."""

    folder: Path
    stream: BinaryIO
    form: PlainForm

    def has(self, at: int) -> bool:
        """Return False: a stream keeps nothing between runs."""
        del at
        return False

    @contextlib.contextmanager
    def part(self, at: int) -> Iterator[OpenedPart]:
        """Begin a part, in a file that has no name: a killed process leaves nothing of it."""
        del at
        with tempfile.TemporaryFile(dir=self.folder) as file:
            yield _Streamed(self.folder, self.stream, file, self.form.writer(file))


@dataclass(frozen=True, slots=True)
class _Streamed(OpenedPart):
    folder: Path
    stream: BinaryIO
    file: BinaryIO
    writer: PlainWriter

    def add(self, rows: OpenedBatch) -> None:
        """Write a batch."""
        with files_translated(self.folder):
            self.writer.add(rows)

    def end(self) -> None:
        """Write the end of the file."""
        with files_translated(self.folder):
            self.writer.close()
            self.file.flush()

    def keep(self, receipt: AuditReceipt) -> None:
        """Copy the rows to the stream."""
        del receipt
        self.file.seek(0)
        shutil.copyfileobj(self.file, self.stream)
        self.stream.flush()


def _locked(path: Path) -> int:
    """Lock a folder; return the descriptor that holds the lock. Raises UsageError if another run has it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        message = f"another run writes into {path}"
        raise UsageError(message, hint="wait for that run, or name another folder") from None
    return descriptor


def _must_be_alone(path: Path, names: Iterable[str]) -> None:
    """Raise UsageError for other names than that of the receipts: a file of this command could replace them."""
    if any(name != RECEIPTS for name in names):
        message = f"{path} has files that this command did not write"
        raise UsageError(message, hint="name a new folder")


def _must_be_private(path: Path) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        message = f"{path} is not a folder that only this user may read"
        raise UsageError(message, hint="name a new folder, or chmod 700 yours")
