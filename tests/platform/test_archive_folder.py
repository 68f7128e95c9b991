"""An archive in a folder: for its owner alone, whole or not there, and without links."""

from __future__ import annotations

import fcntl
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.kit.waiting import until
from vault_etl.base.errors import (
    DeniedError,
    IncompleteError,
    NotFoundError,
    UnavailableError,
    UsageError,
    VaultEtlError,
)
from vault_etl.platform.store_folder import FolderArchive

NAME = "part-00001.parquet"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to put."""
    path = tmp_path / "source"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder that the archive will be in."""
    return tmp_path / "to" / "month-0a1b2c3d"


@pytest.fixture
def store(folder: Path) -> FolderArchive:
    """An archive, in a folder that exists."""
    folder.parent.mkdir()
    return FolderArchive(folder)


def test_an_archive_is_readable_for_its_owner_alone(
    store: FolderArchive, folder: Path, source: Path
) -> None:
    """The mode does not depend on the umask."""
    before = os.umask(0)
    try:
        store.put(NAME, source)
    finally:
        os.umask(before)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / NAME).stat().st_mode & 0o777 == 0o600
    assert store.location == str(folder)


def test_the_path_is_absolute() -> None:
    """The path is kept in the database, where other commands read it."""
    with pytest.raises(UsageError):
        FolderArchive(Path("archives/month"))


def test_a_put_that_fails_leaves_nothing(
    store: FolderArchive, folder: Path, tmp_path: Path
) -> None:
    """The source is a folder, of which no byte can be read."""
    with pytest.raises(VaultEtlError):
        store.put(NAME, tmp_path)
    assert list(folder.iterdir()) == []
    assert store.names() == []


def test_an_interrupted_file_is_not_in_the_archive(
    store: FolderArchive, folder: Path, source: Path
) -> None:
    """The next put writes an interrupted file again, or deletes it."""
    folder.mkdir()
    (folder / f"{NAME}.part").write_bytes(b"cut o")
    assert store.names() == []
    store.put(NAME, source)
    assert (folder / NAME).read_bytes() == b"content"
    (folder / f"{NAME}.part").write_bytes(b"cut o")
    store.delete(NAME)
    assert not folder.exists()


def test_of_two_writers_of_a_name_one_is_refused(
    store: FolderArchive, folder: Path, source: Path, tmp_path: Path
) -> None:
    """While the first one writes, and when it has written; the file is that of the first one, whole."""
    pipe, block = tmp_path / "pipe", bytes(2**21)
    folder.mkdir()
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(store.put, NAME, pipe)
        with pipe.open("wb") as content:
            content.write(block)
            until(lambda: [each for each in folder.iterdir() if each.stat().st_size])
            with pytest.raises(IncompleteError):
                FolderArchive(folder).put(NAME, source)
            content.write(b"the end")
        first.result(timeout=10)
    assert (folder / NAME).read_bytes() == block + b"the end"
    with pytest.raises(IncompleteError):
        store.put(NAME, source)
    assert store.names() == [NAME]
    assert len(list(folder.iterdir())) == 1


def test_a_delete_takes_the_incomplete_files_of_killed_processes_along(
    tmp_path: Path, source: Path
) -> None:
    """An erased person is in no file that is left over; a file that a process is writing stays."""
    store = FolderArchive(tmp_path / "archive")
    store.put(NAME, source)
    store.put("manifest.json", source)
    left, live = (tmp_path / "archive" / f"{name}.part" for name in ("left", "live"))
    left.write_bytes(b"cut o")
    with live.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        store.delete(NAME)
        assert (left.exists(), live.exists()) == (False, True)
    store.delete("manifest.json")
    assert not (tmp_path / "archive").exists()


def test_links_and_devices_are_refused(
    store: FolderArchive, folder: Path, source: Path, tmp_path: Path
) -> None:
    """Links are refused in the archive and in its place; their targets stay as they were."""
    folder.mkdir()
    target = tmp_path / "target"
    (folder / "link").symlink_to(source)
    os.mkfifo(folder / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(UsageError):
            store.get(name, target, 100)
    assert not target.exists()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    link = folder.parent / "other"
    link.symlink_to(elsewhere)
    for use in (
        lambda: FolderArchive(link).put(NAME, source),
        lambda: FolderArchive(link).names(),
        lambda: FolderArchive(link).delete(NAME),
    ):
        with pytest.raises(UsageError):
            use()
    assert list(elsewhere.iterdir()) == []


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path, source: Path) -> None:
    """A missing folder may be a disk that is not mounted."""
    with pytest.raises(NotFoundError):
        FolderArchive(tmp_path / "missing" / "month").put(NAME, source)
    assert not (tmp_path / "missing").exists()


def test_errors_of_the_system_are_reported(tmp_path: Path, source: Path) -> None:
    """The cases are a file in the place of the parent folder, and a name that is too long."""
    with pytest.raises((UsageError, UnavailableError, DeniedError)):
        FolderArchive(source / "month").put(NAME, source)
    with pytest.raises(UnavailableError):
        FolderArchive(tmp_path / ("x" * 300)).put(NAME, source)
