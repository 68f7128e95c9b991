"""ArchiveStore: a stored file is complete under its name, and no file is overwritten."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest

from vault_etl.base.errors import DataError, IncompleteError, NotFoundError
from vault_etl.local.provision import EmulatorSession, Provisioned
from vault_etl.platform.store import ArchiveStore
from vault_etl.platform.store_folder import FolderArchive
from vault_etl.platform.store_s3 import S3Archive

MOST = 2**21


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file to put."""
    path = tmp_path / "source"
    path.write_bytes(bytes(range(256)) * 5000)
    return path


@pytest.fixture(scope="module")
def bucket(moto: tuple[str, Provisioned]) -> Any:  # noqa: ANN401 - a client of boto3
    """An S3 client of the emulator's administrator, and an empty bucket."""
    endpoint, provisioned = moto
    client = EmulatorSession(endpoint, provisioned.credentials["admin"]).client("s3")
    client.create_bucket(Bucket="archives")
    return client


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.emulator)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ArchiveStore:
    """An archive that does not exist yet."""
    name = f"user_logins_2026_03-{uuid.uuid4().hex[:8]}"
    if request.param == "folder":
        return FolderArchive(tmp_path / name)
    return S3Archive(request.getfixturevalue("bucket"), f"s3://archives/vault/{name}")


def test_a_file_is_read_as_it_was_stored(store: ArchiveStore, source: Path, tmp_path: Path) -> None:
    """Its bytes go into a file for its owner alone, under the name that it was put under."""
    assert list(store.names()) == []
    store.put("part-00001.parquet", source)
    store.put("manifest.json", source)
    assert list(store.names()) == ["manifest.json", "part-00001.parquet"]
    target = tmp_path / "target"
    store.get("part-00001.parquet", target, MOST)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("size", [0, 100, 3 * 2**20])
def test_no_more_bytes_are_read_than_allowed(
    store: ArchiveStore, source: Path, tmp_path: Path, size: int
) -> None:
    """The archive's writer cannot fill the reader's disk: the whole file is read, and not a byte more."""
    source.write_bytes(bytes(size))
    store.put("manifest.json", source)
    target = tmp_path / "target"
    store.get("manifest.json", target, size)
    assert target.stat().st_size == size
    target.unlink()
    if size:
        with pytest.raises(DataError, match=r"manifest.json is too large: more than [0-9,]+ bytes"):
            store.get("manifest.json", target, size - 1)
        assert not target.exists()


def test_files_are_not_overwritten(store: ArchiveStore, source: Path, tmp_path: Path) -> None:
    """Neither a file of the archive, even by the same bytes, nor a fetched file is overwritten."""
    store.put("manifest.json", source)
    before = source.read_bytes()
    for content in (before, b"other"):
        source.write_bytes(content)
        with pytest.raises(IncompleteError):
            store.put("manifest.json", source)
    target = tmp_path / "target"
    target.write_bytes(b"there")
    with pytest.raises(IncompleteError):
        store.get("manifest.json", target, MOST)
    assert target.read_bytes() == b"there"
    target.unlink()
    store.get("manifest.json", target, MOST)
    assert target.read_bytes() == before


def test_a_missing_file_is_reported(store: ArchiveStore, source: Path, tmp_path: Path) -> None:
    """The failed read leaves no file behind."""
    target = tmp_path / "target"
    for _ in range(2):  # without the archive, and with it
        with pytest.raises(NotFoundError):
            store.get("manifest.sig", target, MOST)
        if not store.names():
            store.put("manifest.json", source)
    assert not target.exists()


def test_a_deleted_file_is_gone(store: ArchiveStore, source: Path) -> None:
    """To delete the file again is no error, and all other files stay."""
    for name in ("manifest.json", "manifest.sig"):
        store.put(name, source)
    for _ in range(2):
        store.delete("manifest.json")
        assert list(store.names()) == ["manifest.sig"]
    store.delete("manifest.sig")
    store.delete("manifest.sig")
    assert list(store.names()) == []
    store.put("manifest.json", source)
    assert list(store.names()) == ["manifest.json"]


def test_an_empty_file_is_a_file(store: ArchiveStore, source: Path, tmp_path: Path) -> None:
    """An empty file exists, and has no bytes."""
    source.write_bytes(b"")
    store.put("manifest.sig", source)
    store.get("manifest.sig", tmp_path / "target", MOST)
    assert (tmp_path / "target").read_bytes() == b""
