"""Content split into lines: the same lines, however the content is cut into pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.base.errors import DataError
from vault_etl.ingest.sources.splitters import MAX_BLANK_BYTES, MAX_LINE_BYTES, LineSplitter

BOM = b"\xef\xbb\xbf"


def split(*chunks: bytes) -> list[tuple[int, bytes]]:
    """Return all lines of content that comes in these pieces."""
    splitter = LineSplitter("f.jsonl")
    return [line for chunk in chunks for line in splitter.feed(chunk)] + splitter.finish()


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"\n", []),
        (b"a", [(1, b"a")]),
        (b"a\n", [(1, b"a")]),
        (b"a\nb", [(1, b"a"), (2, b"b")]),
        (b"\n\na\n \t\r\n\nb\n\n", [(3, b"a"), (6, b"b")]),
        (b"a\r\nb\r\n", [(1, b"a"), (2, b"b")]),
        (b"a\r\nb\r", [(1, b"a"), (2, b"b")]),
        (b"a\r\r\n", [(1, b"a\r")]),
        (b"a\rb\n", [(1, b"a\rb")]),
        (b" a \n", [(1, b" a ")]),
        (BOM + b"a\n" + BOM + b"b\n", [(1, b"a"), (2, b"b")]),
        (BOM, []),
        (BOM + b"\r\na", [(2, b"a")]),
        (b"a\n" + BOM + b"\n", [(1, b"a")]),
        (b"a" + BOM + b"\n", [(1, b"a" + BOM)]),
        (b"\x0b\n\xa0\n\x00\n", [(1, b"\x0b"), (2, b"\xa0"), (3, b"\x00")]),
        ("a\u2028b\x85\n".encode(), [(1, "a\u2028b\x85".encode())]),
    ],
)
def test_lines_of_content(content: bytes, lines: list[tuple[int, bytes]]) -> None:
    """Blank lines count and are skipped; a line end is LF or CRLF; the last line may have none."""
    assert split(content) == lines


@given(
    st.lists(st.sampled_from([b"\n", b"\r", b" ", b"a", BOM, b"{}", b"\x1f", b"\xff"])), st.data()
)
def test_the_cuts_between_pieces_do_not_matter(pieces: list[bytes], data: st.DataObject) -> None:
    """Pieces come as a disk or a pipe delivers them."""
    content = b"".join(pieces)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(content)), max_size=6)))
    bounds = [0, *cuts, len(content)]
    chunks = [content[a:b] for a, b in itertools.pairwise(bounds)]
    assert split(*chunks) == split(content)


@given(st.lists(st.binary(max_size=9)))
def test_no_byte_is_lost(lines: list[bytes]) -> None:
    """Every line that is not blank comes out unchanged, with its number."""
    lines = [b"|" + line.replace(b"\n", b"").removesuffix(b"\r") + b"|" for line in lines]
    content = b"|\n" + b"\n".join(lines)
    assert split(content) == [(1, b"|"), *enumerate(lines, start=2)]


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("start", [b"", BOM, b"a\n"])
def test_the_longest_line(start: bytes, end: bytes) -> None:
    """A line may have 1 MiB without its line end and the mark; one byte more is refused."""
    number = start.count(b"\n") + 1
    longest = b"x" * MAX_LINE_BYTES
    assert split(start + longest + end)[-1] == (number, longest)
    with pytest.raises(DataError, match=f"line {number} of f.jsonl is longer than 1,048,576 bytes"):
        split(start + longest + b"x" + end)


def test_a_line_without_an_end_is_noticed_before_it_fills_the_memory() -> None:
    """The error comes when the line is too long, not when it ends."""
    splitter = LineSplitter("f")
    chunk = b"x" * 65_536
    for _ in range(MAX_LINE_BYTES // len(chunk)):
        assert splitter.feed(chunk) == []
    with pytest.raises(DataError, match="line 1 of f"):
        splitter.feed(chunk)


def test_blank_lines_without_an_end_are_noticed() -> None:
    """The limit is 64 MiB in a row, with the line's number; a line that is not blank resets the count."""
    splitter = LineSplitter("f")
    blank = b" " * (MAX_LINE_BYTES - 1) + b"\n"
    allowed = MAX_BLANK_BYTES // MAX_LINE_BYTES
    for _ in range(2):
        for _ in range(allowed):
            assert splitter.feed(blank) == []
        assert len(splitter.feed(b"a\n")) == 1
    for _ in range(allowed):
        splitter.feed(blank)
    with pytest.raises(DataError, match="more than 64 MiB of blank lines before line 196 of f"):
        splitter.feed(blank)


def test_an_error_quotes_nothing_of_a_line() -> None:
    """The line may be personal."""
    with pytest.raises(DataError) as caught:
        split(b"secret" * MAX_LINE_BYTES)
    assert "secret" not in f"{caught.value} {caught.value.hint}"
