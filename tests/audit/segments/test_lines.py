"""Entries as JSON lines: written entries are read back, and a file of any other writer is refused, or holds entries."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, Final

import pytest

from vault_etl.audit.chain import LoggedEntry, StoredCheckpoint
from vault_etl.audit.segments.files import (
    checkpoint_from,
    checkpoint_object,
    entry_from,
    entry_object,
    read_lines,
    write_lines,
)
from vault_etl.audit.segments.segment import SegmentFile
from vault_etl.base.errors import DataError
from vault_etl.crypto.digest import sha256

ENTRY: Final = LoggedEntry(
    seq=7,
    microseconds=1769860800123456,
    request_id="019b76da-a87b-73e6-8074-f1e73a6ddeb4",
    phase="intent",
    login="ana",
    client_address=None,
    actor="arn:aws:sts::000000000000:assumed-role/reveal/ana",
    host="h\u00e4user",
    action="reveal",
    record_id=None,
    fields=["device_id", "ip"],
    purpose=None,
    ticket="CASE-17",
    reason="because",
    decision="allowed",
    error_code=None,
    prev_hash=bytes(32),
    hash=bytes(range(32)),
)
STORED: Final = StoredCheckpoint(7, bytes(32), b"abcd", b"0" * 70, "ana")


def test_written_entries_are_read_back(tmp_path: Path) -> None:
    """Every column agrees, to the microsecond; the same rows make the same bytes."""
    files = [write_lines(tmp_path / name, map(entry_object, [ENTRY] * 3)) for name in "ab"]
    assert files[0] == files[1]
    assert list(read_lines(tmp_path / "a", files[0], entry_from, "x")) == [ENTRY] * 3
    found = write_lines(tmp_path / "c", [checkpoint_object(STORED)])
    assert list(read_lines(tmp_path / "c", found, checkpoint_from, "x")) == [STORED]


def changes(name: str, *values: object) -> list[dict[str, object]]:
    """A column, changed to each of these."""
    return [{name: value} for value in values]


def _stored(path: Path, content: bytes, rows: int) -> SegmentFile:
    path.write_bytes(content)
    return SegmentFile(rows, len(content), sha256(content))


@pytest.mark.parametrize(
    "change",
    [
        *changes("seq", "7", None, True, 7.0),
        *changes("time", "2026-01-31T12:00:00Z", None, 5),
        *changes("fields", None, "ip", ["ip", 5], {"ip": "ip"}),
        *changes("login", 5, ["a"], {}),
        *changes("hash", None, "zz", 5),
        {"more": "x"},
    ],
    ids=str,
)
def test_a_column_of_another_type_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """The error is one of ours, since a manifest that fits is quickly made."""
    line = json.dumps({**entry_object(ENTRY), **change}).encode() + b"\n"
    file = _stored(tmp_path / "x", gzip.compress(line), 1)
    with pytest.raises(DataError, match="is not what its manifest says"):
        list(read_lines(tmp_path / "x", file, entry_from, "x"))


@pytest.mark.parametrize(
    "content",
    [
        b"no gzip",
        gzip.compress(b"{}\n")[:-9],
        gzip.compress(b"[]\n"),
        gzip.compress(b"\xff\n"),
        gzip.compress(b" " * 2**20),
        gzip.compress(b""),
        gzip.compress(json.dumps(entry_object(ENTRY)).encode() + b"\n") * 2,
        b"\x1f\x8b\x08\0\0\0\0\0\0\3" + b"\xff" * 40,
    ],
    ids=["no gzip", "cut", "a list", "no UTF-8", "a long line", "empty", "two rows", "no deflate"],
)
def test_a_file_that_differs_from_its_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    """The manifest has the digest of the file, which is no file of entries."""
    file = _stored(tmp_path / "x", content, 1)
    with pytest.raises(DataError, match="is not what its manifest says"):
        list(read_lines(tmp_path / "x", file, entry_from, "x"))
