"""Unsupported content is recognised by its first bytes, and the hint is a shell line that converts it."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.kit.fakes.login_events import login_event
from tests.kit.parsed import NAMES
from vault_etl.base.errors import DataError
from vault_etl.ingest.sources.content_splitter import ContentSplitter

LINES = login_event() + b"\n" + login_event(user_id="u-2") + b"\n"


def zipped() -> bytes:
    """Return an archive of one file."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("f", LINES)
    return out.getvalue()


def tarred() -> bytes:
    """Return an archive of one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        about = tarfile.TarInfo("f")
        about.size = len(LINES)
        archive.addfile(about, io.BytesIO(LINES))
    return out.getvalue()


CONVERTIBLE = {
    "compressed with gzip": gzip.compress(LINES),
    "compressed with xz": lzma.compress(LINES),
    "compressed with bzip2": bz2.compress(LINES),
    "text in UTF-16": LINES.decode().encode("utf-16"),
    "text in UTF-16 ": b"\xfe\xff" + LINES.decode().encode("utf-16-be"),
    "text in UTF-16: ": LINES.decode().encode("utf-16-le"),
    "text in UTF-16:": LINES.decode().encode("utf-16-be"),
    "text in UTF-32": LINES.decode().encode("utf-32"),
    "text in UTF-32 ": b"\x00\x00\xfe\xff" + LINES.decode().encode("utf-32-be"),
    "text in UTF-32: ": LINES.decode().encode("utf-32-le"),
    "text in UTF-32:": LINES.decode().encode("utf-32-be"),
    "a tar archive": tarred(),
}
OTHERS = {
    "a zip archive": zipped(),
    "an empty zip archive": b"PK\x05\x06" + bytes(18),
    "an Office document": zipped().replace(b"f", b"[Content_Types].xml", 1),
    "a Parquet file": b"PAR1" + bytes(9),
    "an Avro file": b"Obj\x01" + bytes(9),
    "an ORC file": b"ORC" + bytes(9),
    "a 7z archive": b"7z\xbc\xaf\x27\x1c",
    "all zero bytes": bytes(10_240),
    "XML or HTML": b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>",
    "compressed with zstd": b"\x28\xb5\x2f\xfd" + bytes(9),
    "compressed with lz4": b"\x04\x22\x4d\x18" + bytes(9),
}


@pytest.mark.parametrize("what", [*CONVERTIBLE, *OTHERS])
def test_unsupported_content_is_named_and_not_read(what: str) -> None:
    """No piece of the content becomes a record, with --keep-going or without."""
    for keep_going in (False, True):
        splitter = ContentSplitter("f", NAMES, keep_going=keep_going)
        with pytest.raises(DataError, match=f"^f is {what.strip(' :')}.*: nothing was loaded$"):
            splitter.feed((CONVERTIBLE | OTHERS)[what])


@pytest.mark.parametrize("what", CONVERTIBLE)
@pytest.mark.parametrize("name", ["f", "f.gz"])
def test_the_hint_is_a_shell_line_that_converts_the_content(
    tmp_path: Path, what: str, name: str
) -> None:
    """The shell line gives the lines, also for a file that was decompressed by its name."""
    content = CONVERTIBLE[what]
    with pytest.raises(DataError) as caught:
        ContentSplitter(name, NAMES).feed(content)
    (tmp_path / "FILE").write_bytes(gzip.compress(content) if name == "f.gz" else content)
    way, _, into = str(caught.value.hint).rpartition(" | ")
    assert into == "vault-etl ingest --file - --source NAME"
    done = subprocess.run(["/bin/sh", "-c", way], cwd=tmp_path, capture_output=True, check=True)
    assert done.stdout.removeprefix(b"\xef\xbb\xbf") == LINES


def test_standard_input_goes_through_a_filter() -> None:
    """The hint has no file to name."""
    with pytest.raises(DataError) as caught:
        ContentSplitter("standard input", NAMES).feed(CONVERTIBLE["compressed with xz"])
    assert str(caught.value.hint) == "… | xz -dc | vault-etl ingest --file - --source NAME"


def test_first_bytes_count_only_at_the_beginning() -> None:
    """In a later line, the same bytes are a line that is not an event."""
    splitter = ContentSplitter("f", NAMES)
    assert splitter.feed(login_event() + b"\nPK\x03\x04\n") == [
        (1, login_event()),
        (2, b"PK\x03\x04"),
    ]
