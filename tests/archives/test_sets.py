"""The files of a set: the version on the record counts, damage is found, and no file of a live run is deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.kit.fakes.checkpoints import FakeHeadSigner
from tests.kit.sets import NO_KEYS, FolderSet, manifest_of
from vault_etl.archives.manifest import rewritten_part_name
from vault_etl.archives.sets import CurrentSet, SetStore, mark_of, version_in
from vault_etl.base.errors import DataError, IncompleteError, NotFoundError, UnavailableError

OLD, NEW = "part-00001.parquet", rewritten_part_name(1, mark_of(2))


@pytest.fixture
def files(tmp_path: Path) -> FolderSet:
    """Return an empty place."""
    (tmp_path / "scratch").mkdir()
    return FolderSet(tmp_path / "set", tmp_path / "scratch")


@pytest.fixture
def first(files: FolderSet) -> CurrentSet:
    """Write version 1: one part."""
    return files.writer.commit(manifest_of(1, [files.put(OLD, b"old")]), NO_KEYS)


def second_version(files: FolderSet, first: CurrentSet) -> CurrentSet:
    """Write version 2 beside version 1: another part in the place of the old one."""
    version = files.writer.next_version(first.names)
    return files.writer.commit(manifest_of(version, [files.put(NEW, b"new")]), NO_KEYS)


def test_a_set_is_read_as_it_was_written(files: FolderSet, first: CurrentSet) -> None:
    """Manifest, keys and parts; nothing is left in the private folder."""
    found = files.reader.read()
    assert found == first == files.reader.read(first.sha256)
    assert files.reader.keys(found) == NO_KEYS
    with files.reader.part(found.manifest.parts[0]) as path:
        assert path.read_bytes() == b"old"
    assert list(files.scratch.iterdir()) == []


def test_the_recorded_version_counts(files: FolderSet, first: CurrentSet) -> None:
    """Without a record it is the highest. The files of the older one go when the record has changed."""
    second = second_version(files, first)
    assert files.reader.read().sha256 == second.sha256
    assert files.reader.read(first.sha256).manifest == first.manifest
    assert files.reader.read(first.sha256).leftovers == [], "they may be of a run that goes on"
    assert second.leftovers == ["keys-00001.json", "manifest-00001.json", "manifest-00001.sig", OLD]
    files.writer.clean(second.leftovers)
    assert files.names() == ["keys-00002.json", "manifest-00002.json", "manifest-00002.sig", NEW]
    with pytest.raises(DataError, match="no manifest with the recorded"):
        files.reader.read(first.sha256)


def test_a_killed_run_is_passed_over(files: FolderSet, first: CurrentSet) -> None:
    """The next version is above every number in the place, and its cleaning deletes what the run left."""
    files.put(NEW, b"half")
    assert files.reader.read(first.sha256).leftovers == []
    version = files.writer.next_version(files.reader.read().names)
    assert version == 3
    other = files.put(rewritten_part_name(1, mark_of(version)), b"whole")
    third = files.writer.commit(manifest_of(version, [other]), NO_KEYS)
    files.writer.clean(third.leftovers)
    assert len(files.names()) == 4
    assert files.reader.read() == CurrentSet(third.manifest, third.sha256, files.names())


def test_two_runs_do_not_overwrite_each_other(files: FolderSet, first: CurrentSet) -> None:
    """The second one fails, and deletes none of the files of the first one."""
    part = files.put(NEW, b"new")
    won = files.writer.commit(manifest_of(2, [part]), NO_KEYS)
    with pytest.raises(IncompleteError):
        files.writer.commit(manifest_of(2, [part]), NO_KEYS)
    assert files.reader.read(won.sha256).sha256 == won.sha256
    assert files.reader.read(first.sha256).sha256 == first.sha256


def test_a_manifest_that_no_reader_takes_is_not_written(
    files: FolderSet, first: CurrentSet
) -> None:
    """Two parts of one number: the set would be lost with its next version."""
    before = files.names()
    with pytest.raises(DataError, match="not in the order of their numbers"):
        files.writer.commit(manifest_of(2, first.manifest.parts * 2), NO_KEYS)
    assert files.names() == before


def test_a_version_that_is_not_signed_leaves_nothing(files: FolderSet, first: CurrentSet) -> None:
    """KMS is asked before the first file; the set stays as it was."""
    before = files.names()
    files.signer.kms.down = True
    with pytest.raises(UnavailableError):
        files.writer.commit(manifest_of(2, first.manifest.parts), NO_KEYS)
    assert files.names() == before


@pytest.mark.parametrize(
    "name", ["manifest-00001.json", "manifest-00001.sig", "keys-00001.json", OLD]
)
def test_a_missing_or_changed_file_is_found(files: FolderSet, first: CurrentSet, name: str) -> None:
    """Each file that the set has, if one byte of it differs, and if it is gone."""
    path = files.place / name
    content = path.read_bytes()
    for changed in (bytes([content[0] ^ 1]) + content[1:], content + b"\n", content[:-1]):
        path.write_bytes(changed)
        with pytest.raises(DataError):
            read_all(files, first)
    path.unlink()
    with pytest.raises((DataError, NotFoundError)):
        read_all(files, first)


def read_all(files: FolderSet, first: CurrentSet) -> None:
    """Read every file of the set."""
    found = files.reader.read(first.sha256)
    files.reader.keys(found)
    for part in found.manifest.parts:
        with files.reader.part(part):
            pass


def test_another_key_did_not_sign(files: FolderSet, first: CurrentSet) -> None:
    """Neither on the record nor without one."""
    other = SetStore(files.store, files.scratch, FakeHeadSigner().signing_key().key)
    for recorded in (first.sha256, None):
        with pytest.raises(DataError, match="did not sign"):
            other.read(recorded)


def test_a_manifest_under_another_number_is_refused(files: FolderSet, first: CurrentSet) -> None:
    """An old version cannot be played back as a newer one."""
    for kind in ("json", "sig"):
        content = (files.place / f"manifest-00001.{kind}").read_bytes()
        (files.place / f"manifest-00009.{kind}").write_bytes(content)
    with pytest.raises(DataError, match="another vault or version"):
        files.reader.read()
    assert first.manifest.version == 1


def test_an_empty_place_has_no_set(files: FolderSet) -> None:
    """Nor has one with other files."""
    with pytest.raises(NotFoundError, match="there is no set"):
        files.reader.read()


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("manifest-00012.json", 12),
        ("manifest-00012.sig", 12),
        ("keys-00003.json", 3),
        (OLD, 1),
        (rewritten_part_name(7, mark_of(300, 2)), 300),
        ("part-1.parquet", None),
        ("notes.txt", None),
        ("manifest-00001.json.part", None),
    ],
)
def test_names_tell_the_version(name: str, version: int | None) -> None:
    """A file of another name is none of a set, and is left alone."""
    assert version_in(name) == version
