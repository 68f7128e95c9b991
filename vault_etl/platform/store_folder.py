"""One archive in a folder of this machine: files of mode 0600 in a folder of mode 0700."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from cryptography.hazmat.primitives.hashes import SHA256, Hash
from typing_extensions import override

from vault_etl.base.errors import (
    DataError,
    DeniedError,
    IncompleteError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from vault_etl.platform.store import ArchiveStore

_PART: Final = ".part"
"""The suffix of a file that is not complete yet."""


class FolderArchive(ArchiveStore):
    """A store in the folder `path`. The first file makes the folder, and the folder goes with the last file."""

    def __init__(self, path: Path) -> None:
        """Raises UsageError for a path that is not absolute."""
        if not path.is_absolute():
            message = f"the path of the archive is not absolute: {path}"
            raise UsageError(message, hint="other commands use this path from any folder")
        self._path = path

    @property
    @override
    def location(self) -> str:
        return str(self._path)

    @override
    def names(self) -> Sequence[str]:
        """Return the names of the complete files, sorted."""
        with files_translated(self._path):
            if not os.path.lexists(self._path):
                return ()
            self._must_be_ours()
            return sorted(each.name for each in self._path.iterdir() if each.suffix != _PART)

    @override
    def get(self, name: str, target: Path, most_bytes: int) -> None:
        """Copy a file to `target`. Raises UsageError for a link, and for anything that is not a regular file."""
        with files_translated(self._path / name):
            try:
                self._must_be_ours()
                flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
                source = os.fdopen(os.open(self._path / name, flags), "rb")
            except FileNotFoundError:
                message = f"{self._path / name} does not exist"
                raise NotFoundError(message, hint="was the archive moved or deleted?") from None
            with source:
                found = os.fstat(source.fileno())
                if not stat.S_ISREG(found.st_mode):
                    raise no_file(self._path / name)
                must_fit(found.st_size, most_bytes, str(self._path / name))
                with new_file(target) as file:
                    copy_at_most(source, file, most_bytes, str(self._path / name))

    @override
    def put(self, name: str, source: Path) -> None:
        """Store a copy of `source`. The file gets its name once it is complete and on the disk."""
        target = self._path / name
        with files_translated(target):
            self._make()
            _must_be_free(target)
            with source.open("rb") as content, _incomplete(target) as file:
                shutil.copyfileobj(content, file, _BLOCK)
                file.flush()
                os.fsync(file.fileno())
            _sync(self._path)

    @override
    def delete(self, name: str) -> None:
        """Delete the file, the incomplete file of this name, and those that killed processes have left."""
        with files_translated(self._path / name):
            if not os.path.lexists(self._path):
                return
            self._must_be_ours()
            (self._path / name).unlink(missing_ok=True)
            (self._path / f"{name}{_PART}").unlink(missing_ok=True)
            for left in self._path.glob(f"*{_PART}"):
                _delete_unlocked(left)
            if not any(self._path.iterdir()):
                self._path.rmdir()
                _sync(self._path.parent)

    def _make(self) -> None:
        try:
            self._path.mkdir(mode=0o700)
            _sync(self._path.parent)
        except FileExistsError:
            self._must_be_ours()

    def _must_be_ours(self) -> None:
        """Raise UsageError unless the path is a folder. A link to a folder is refused."""
        if not stat.S_ISDIR(self._path.lstat().st_mode):
            message = f"{self._path} is not a folder"
            raise UsageError(message, hint="an archive is a folder, not a link to one")


@contextlib.contextmanager
def _incomplete(target: Path) -> Iterator[BinaryIO]:
    """Open the incomplete file of `target`, new or left by a killed process, and give it its name after the block.

    Raises FileExistsError if another process writes or has written the file: its lock says so.
    """
    path = target.with_name(f"{target.name}{_PART}")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise _taken(target) from None
        if not _is_at(file, path):
            raise _taken(target)
        try:
            _must_be_free(target)
            file.truncate()
            yield file
            path.rename(target)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _delete_unlocked(path: Path) -> None:
    """Delete an incomplete file, unless a process is writing it."""
    with contextlib.suppress(FileNotFoundError, BlockingIOError):
        flags = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        with os.fdopen(os.open(path, flags), "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def _is_at(file: BinaryIO, path: Path) -> bool:
    """Tell whether the open file has this path, and was not renamed or deleted since."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    return False


def _must_be_free(target: Path) -> None:
    if os.path.lexists(target):
        raise _taken(target)


def _taken(target: Path) -> FileExistsError:
    return FileExistsError(errno.EEXIST, "", str(target))


def _sync(folder: Path) -> None:
    """Write the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_BLOCK: Final = 2**20


class Readable(Protocol):
    """A source of bytes."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, `size` at most; no bytes at the end."""


@contextlib.contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """Create a file of mode 0600, and delete it if anything is raised. Raises OSError if the file exists."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(path, flags, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def copy_at_most(source: Readable, file: BinaryIO, most_bytes: int, name: str) -> None:
    """Copy `source` to its end. Raises DataError, which names `name`, for more than `most_bytes`."""
    size = 0
    while block := source.read(min(_BLOCK, most_bytes - size + 1)):
        size += len(block)
        must_fit(size, most_bytes, name)
        file.write(block)


def must_fit(size: int, most_bytes: int, name: str) -> None:
    """Raise DataError, which names `name`, for a file of more than `most_bytes`."""
    if size > most_bytes:
        message = f"{name} is too large: more than {most_bytes:,} bytes"
        raise DataError(message, hint="it was changed: take the file from a backup of it")


@contextlib.contextmanager
def files_translated(path: Path) -> Iterator[None]:
    """Translate the OSError about `path` into our errors."""
    try:
        yield
    except PermissionError:
        message = f"{path} cannot be used by this user"
        raise DeniedError(message, hint="check who owns the folder, and its mode") from None
    except FileNotFoundError:
        message = f"the folder of {path} does not exist"
        raise NotFoundError(message, hint="make the folder, or mount its disk") from None
    except FileExistsError:
        message = f"{path} exists already"
        raise IncompleteError(message, hint="another run made it: run the command again") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise no_file(path) from None
        message = f"{path} cannot be used: {os.strerror(error.errno or 0)}"
        raise UnavailableError(message, hint="is the disk full, or not mounted?") from None


def no_file(path: Path) -> UsageError:
    """Return the error for a path that is not a regular file."""
    message = f"{path} is not a regular file"
    return UsageError(message, hint="an archive has no links, pipes or devices")


def size_and_sha256(path: Path) -> tuple[int, bytes]:
    """Return the size of a file in bytes, and the SHA-256 of its content."""
    digest = Hash(SHA256())
    size = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return size, digest.finalize()


def folder_archives(root: Path, prefix: str) -> Sequence[str]:
    """Return the folders in `root` that are named as archives are, sorted: the prefix, and eight characters.

    Raises NotFoundError if `root` does not exist.
    """
    if not root.is_dir():
        message = f"the folder {root} does not exist"
        raise NotFoundError(message, hint="make the folder, or mount its disk")
    length = len(prefix) + 8
    return sorted(
        str(each)
        for each in root.iterdir()
        if each.name.startswith(prefix) and len(each.name) == length and each.is_dir()
    )
