"""ArchiveStore: what was put is there whole, under its name, and nothing is written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from vault_etl.adapters.archive_folder import FolderArchive
from vault_etl.errors import IncompleteError, NotFoundError
from vault_etl.ports.archive_store import ArchiveStore


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to put."""
    path = tmp_path / "source"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


@pytest.fixture(params=["folder"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveStore:
    """An archive that is not there yet."""
    assert request.param == "folder"
    return FolderArchive(tmp_path / "user_logins_2026_03-0a1b2c3d")


def test_what_was_put_is_got(store: ArchiveStore, source: Path, tmp_path: Path) -> None:
    """Byte for byte, into a file for its owner alone, under the names that it was put under."""
    assert store.names() == ()
    store.put("part-00001.parquet", source)
    store.put("manifest.json", source)
    assert list(store.names()) == ["manifest.json", "part-00001.parquet"]
    target = tmp_path / "target"
    store.get("part-00001.parquet", target)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600


def test_nothing_is_written_over(store: ArchiveStore, source: Path, tmp_path: Path) -> None:
    """Neither what is in the archive nor what is got."""
    store.put("manifest.json", source)
    before = source.read_bytes()
    source.write_bytes(b"other")
    with pytest.raises(IncompleteError):
        store.put("manifest.json", source)
    target = tmp_path / "target"
    target.write_bytes(b"there")
    with pytest.raises(IncompleteError):
        store.get("manifest.json", target)
    assert target.read_bytes() == b"there"
    target.unlink()
    store.get("manifest.json", target)
    assert target.read_bytes() == before


def test_what_is_not_there_is_said(store: ArchiveStore, source: Path, tmp_path: Path) -> None:
    """And leaves no file behind."""
    target = tmp_path / "target"
    for _ in range(2):  # without the archive, and with it
        with pytest.raises(NotFoundError):
            store.get("manifest.sig", target)
        if not store.names():
            store.put("manifest.json", source)
    assert not target.exists()


def test_what_was_deleted_is_gone(store: ArchiveStore, source: Path) -> None:
    """Deleting it again is no error; and what is left stays."""
    for name in ("manifest.json", "manifest.sig"):
        store.put(name, source)
    for _ in range(2):
        store.delete("manifest.json")
        assert list(store.names()) == ["manifest.sig"]
    store.delete("manifest.sig")
    store.delete("manifest.sig")
    assert store.names() == ()
    store.put("manifest.json", source)
    assert list(store.names()) == ["manifest.json"]


def test_an_empty_file_is_a_file(store: ArchiveStore, source: Path, tmp_path: Path) -> None:
    """It has no bytes, and is there."""
    source.write_bytes(b"")
    store.put("manifest.sig", source)
    store.get("manifest.sig", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b""
