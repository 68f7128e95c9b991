"""Files, compressed or not, and streams: whole content is read, and damaged content is refused."""

from __future__ import annotations

import gzip
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from vault_etl.base.errors import (
    DataError,
    DeniedError,
    NotFoundError,
    UnavailableError,
    UsageError,
)
from vault_etl.ingest.sources.content import CHUNK_BYTES, FileContent, StreamContent

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

CONTENT = b"".join(b'{"line": %d}\n' % n for n in range(30_000))


def noise(size: int) -> bytes:
    """Return bytes that do not compress."""
    return random.Random(7).randbytes(size)


def plain(content: bytes) -> bytes:
    """Return the content unchanged."""
    return content


def with_checksum(content: bytes) -> bytes:
    """Compress as the program `zstd` does by default. Without the checksum, a flipped bit may pass."""
    return zstd.compress(content, options={int(zstd.CompressionParameter.checksum_flag): 1})


FORMS = [("f.jsonl", plain), ("f.jsonl.gz", gzip.compress), ("f.jsonl.zst", with_checksum)]
COMPRESSED = FORMS[1:]


def read(path: Path) -> bytes:
    """Return all of a file, decompressed."""
    with closing(FileContent(str(path))) as content:
        return b"".join(iter(content.read, b""))


@pytest.mark.parametrize(("name", "compress"), FORMS)
@pytest.mark.parametrize("content", [b"x", CONTENT, noise(200_000)])
def test_a_file_is_read_as_its_name_says(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes], content: bytes
) -> None:
    """The pieces have 64 KiB at most; after a rewind, the file is read from the beginning."""
    (tmp_path / name).write_bytes(compress(content))
    with closing(FileContent(str(tmp_path / name))) as file:
        chunks = list(iter(file.read, b""))
        assert b"".join(chunks) == content
        assert max(map(len, chunks)) <= CHUNK_BYTES
        file.rewind()
        assert b"".join(iter(file.read, b"")) == content


@pytest.mark.parametrize(("name", "compress"), COMPRESSED)
def test_several_compressed_parts_are_one_content(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    """By RFC 1952 and RFC 8878, an appended part belongs to the file."""
    (tmp_path / name).write_bytes(compress(b"one\n") + compress(b"two\n"))
    assert read(tmp_path / name) == b"one\ntwo\n"


@pytest.mark.parametrize(("name", "compress"), COMPRESSED)
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda _: b"", "is empty: even an"),
        (lambda whole: whole[:3], "is damaged or cut off"),
        (lambda whole: whole[: len(whole) // 2], "is damaged or cut off"),
        (lambda whole: whole[:-1], "is damaged or cut off"),
        (lambda whole: b"x" + whole, "is not what its name says"),
        (lambda whole: whole + b"junk", "is damaged: the data after"),
        (lambda whole: whole[:60] + bytes([whole[60] ^ 1]) + whole[61:], "is damaged or cut off"),
        (lambda whole: whole + whole[:-5], "is damaged or cut off"),
        (lambda _: CONTENT, "is not what its name says"),
    ],
    ids=["empty", "head", "half", "cut", "before", "behind", "bit", "second", "plain"],
)
def test_a_damaged_file_is_refused(
    tmp_path: Path,
    name: str,
    compress: Callable[[bytes], bytes],
    damage: Callable[[bytes], bytes],
    says: str,
) -> None:
    """At the latest at its end, and by name: half a file never counts as a whole one."""
    whole = compress(CONTENT)
    (tmp_path / name).write_bytes(damage(whole))
    with pytest.raises(DataError, match=f"{name} {says}"):
        read(tmp_path / name)


def test_zstd_that_needs_more_than_the_file(tmp_path: Path) -> None:
    """A window of more than 128 MiB (`--long=31`), or a dictionary, gives an error with the shell line to use."""
    long = zstd.ZstdCompressor(options={int(zstd.CompressionParameter.window_log): 30})
    whole = long.compress(b"x" * 100) + long.flush()
    dictionary = zstd.train_dict([b"hello, world %d" % n * 9 for n in range(999)], 1_000)
    for content, says in (
        (whole, "was compressed with --long"),
        (zstd.compress(b"hello", zstd_dict=dictionary), "was compressed with a dictionary"),
    ):
        (tmp_path / "f.zst").write_bytes(content)
        with pytest.raises(DataError, match=f"f.zst {says}") as caught:
            read(tmp_path / "f.zst")
        assert "-dc FILE | vault-etl ingest --file -" in str(caught.value.hint)


def test_a_plain_file_may_be_empty(tmp_path: Path) -> None:
    """An empty file has no lines."""
    (tmp_path / "f").touch()
    assert read(tmp_path / "f") == b""


def test_a_path_that_is_not_a_file_is_refused(tmp_path: Path) -> None:
    """Each kind has its own error, with the name."""
    (tmp_path / "folder.gz").mkdir()
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    for name, error, text in (
        ("gone", NotFoundError, "there is no file"),
        ("file/below", NotFoundError, "there is no file"),
        ("folder.gz", UsageError, "is a directory"),
        ("pipe", UsageError, "is not a regular file"),
    ):
        with pytest.raises(error, match=f"{name}.*{text}|{text}.*{name}"):
            FileContent(str(tmp_path / name))
    with pytest.raises(UsageError, match="is not a regular file"):
        FileContent(os.devnull)


def test_an_unreadable_file_is_denied(tmp_path: Path) -> None:
    """The error is one of permission. Root may read everything, so the test runs as `nobody`."""
    path = tmp_path / "f"
    path.touch()
    path.chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65_534)
    try:
        with pytest.raises(DeniedError, match="f may not be read by this user"):
            FileContent(str(path))
    finally:
        os.seteuid(user)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """A pipe: its read end and its write end."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


def test_a_stream_is_waited_for_no_longer_than_asked(pipe: tuple[int, int]) -> None:
    """Nothing yet is not the end."""
    stream = StreamContent(pipe[0], "standard input")
    began = time.monotonic()
    assert stream.read(0.05) is None
    assert stream.read(0) is None
    assert 0.05 <= time.monotonic() - began < 2
    os.write(pipe[1], b"x")
    assert stream.read(5) == b"x"
    os.close(pipe[1])
    assert stream.read(5) == b""


def test_a_stream_that_is_closed_is_an_error() -> None:
    """The reader does not wait forever."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    os.close(write_end)
    with pytest.raises(UnavailableError, match="standard input cannot be read"):
        StreamContent(read_end, "standard input").read(0)


BOMB = """
import resource, sys
from vault_etl.ingest.sources.content import FileContent
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
content = FileContent(sys.argv[1])
total = sum(map(len, iter(content.read, b"")))
content.close()
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.command
@pytest.mark.parametrize(("name", "compress"), COMPRESSED)
def test_decompressing_takes_bounded_memory(
    tmp_path: Path, name: str, compress: Callable[[bytes], bytes]
) -> None:
    """A few KiB become 200 MiB: the memory is bounded, whatever the output."""
    size = 200 * 1024 * 1024
    (tmp_path / name).write_bytes(compress(bytes(size)))
    done = subprocess.run(
        [sys.executable, "-c", BOMB, str(tmp_path / name)],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    total, grown = map(int, done.stdout.split())
    assert total == size
    unit = 1 if sys.platform == "darwin" else 1024
    assert grown * unit < 32 * 1024 * 1024
