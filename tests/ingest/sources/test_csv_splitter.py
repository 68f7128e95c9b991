"""CSV with a header row, as JSON objects of text: each row once, with the number of its first line."""

from __future__ import annotations

import csv
import io
import itertools
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.fakes.login_events import DEFAULTS, login_event_without
from tests.kit.parsed import NAMES, REQUIRED, parse_event
from vault_etl.base.errors import DataError
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.event.rejection import Reason, Rejection
from vault_etl.ingest.sources.content_splitter import ContentSplitter
from vault_etl.ingest.sources.csv_splitter import Header
from vault_etl.ingest.sources.splitters import MAX_LINE_BYTES

HEADER = b"user_id,device_type,ip,device_id,locale\n"
ROW = b"u,t,192.0.2.1,d,\n"
EVENT = b'{"user_id": "u", "device_type": "t", "ip": "192.0.2.1", "device_id": "d"}'


def split(content: bytes, *cuts: int, keep_going: bool = False) -> list[tuple[int, bytes]]:
    """Return all rows of content that comes in pieces, cut at these places."""
    splitter = ContentSplitter("f", NAMES, keep_going=keep_going)
    pieces = itertools.pairwise([0, *cuts, len(content)])
    found = [record for a, b in pieces for record in splitter.feed(content[a:b])]
    return found + splitter.finish()


def test_the_required_names_are_those_of_an_event() -> None:
    """The parser misses each of them alone, and no other name."""
    for name in DEFAULTS:
        parsed = parse_event(login_event_without(name))
        missing = Rejection(Reason.FIELD_MISSING, f"$.{name}")
        assert (parsed == missing) == (name in REQUIRED)


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (HEADER, []),
        (HEADER[:-1], []),
        (HEADER + ROW, [(2, EVENT)]),
        (
            b"\xef\xbb\xbf" + HEADER.replace(b"\n", b"\r\n") + ROW.replace(b"\n", b"\r\n"),
            [(2, EVENT)],
        ),
        (b"\n" + HEADER + b"\n" + ROW + b",,,,\n" + ROW[:-1], [(4, EVENT), (6, EVENT)]),
        ((HEADER + ROW).replace(b",", b";"), [(2, EVENT)]),
        ((HEADER + ROW).replace(b",", b"\t"), [(2, EVENT)]),
        ((HEADER + ROW).replace(b",", b"|"), [(2, EVENT)]),
        (b'"user_id", device_type ,ip, device_id,locale\n' + ROW, [(2, EVENT)]),
        (HEADER + b"u,t,192.0.2.1,d\n" + ROW, [(2, b"u,t,192.0.2.1,d"), (3, EVENT)]),
        (HEADER + b"u,t,x,d,,\n", [(2, b"u,t,x,d,,")]),
        (HEADER + b"u,t,\xff,d,\n" + ROW, [(2, b"u,t,\xff,d,"), (3, EVENT)]),
        (HEADER + b'u,t,"x"y,d,\n' + ROW, [(2, b'u,t,"x"y,d,'), (3, EVENT)]),
        (HEADER + ROW + b'u,t,"x,d,\n' + ROW, [(2, EVENT), (3, b'u,t,"x,d,\n' + ROW[:-1])]),
    ],
)
def test_rows_of_content(content: bytes, rows: list[tuple[int, bytes]]) -> None:
    """A row with another number of cells, or without a form, is kept unchanged, to be quarantined."""
    keep_going = rows != [] and rows[0][1] != EVENT and len(rows) == 1
    assert split(content, keep_going=keep_going) == rows
    assert split(content, *range(1, len(content)), keep_going=keep_going) == rows


def test_cells_are_unchanged_text() -> None:
    """Quotes, commas, line ends and blank lines stay; so does an empty cell of a required field."""
    content = HEADER + b'"a,\n\n""b""",5" x, y ,,"\xe2\x80\xa8"\n' + ROW
    first, second = split(content)
    assert (first[0], second) == (2, (5, EVENT))
    assert json.loads(first[1]) == {
        "user_id": 'a,\n\n"b"',
        "device_type": '5" x',
        "ip": " y ",
        "device_id": "",
        "locale": "\u2028",
    }


def test_a_column_without_a_name_is_not_lost() -> None:
    """The column is named by its place; a column of an unknown field keeps its name."""
    content = HEADER[:-1] + b",,email\n" + ROW[:-1] + b",x,y@example.com\n"
    assert (
        json.loads(split(content)[0][1]).items()
        >= {"column 6": "x", "email": "y@example.com"}.items()
    )


@settings(max_examples=50)
@given(
    st.lists(
        st.lists(
            st.text(
                st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), min_size=1
            ),
            min_size=5,
            max_size=5,
        )
    )
)
def test_written_rows_are_read(rows: list[list[str]]) -> None:
    """Python's own writer, with LF line ends, writes what databases export."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    found = split(HEADER + out.getvalue().encode(), keep_going=True)
    assert [list(json.loads(row).values()) for _, row in found] == rows


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (b"user_id,ip\n", "the header row of f has no device_type, device_id: nothing was loaded"),
        (HEADER[:-1] + b",ip\n", "the header row of f has ip twice"),
        (HEADER[:-1] + b",note,note\n", "the header row of f has note twice"),
        (HEADER[:-1] + b",a@b.example,a@b.example\n", "the header row of f has another name twice"),
    ],
)
def test_an_incomplete_header_row_is_refused(header: bytes, says: str) -> None:
    """The error names the missing fields; with `--keep-going`, each row is quarantined with its reason."""
    with pytest.raises(DataError, match=says):
        split(header)
    rows = split(header + b",".join([b"1"] * (header.count(b",") + 1)), keep_going=True)
    assert not isinstance(parse_event(rows[0][1]), ParsedEvent)


@pytest.mark.parametrize(
    ("content", "says", "way"),
    [
        (
            (HEADER + ROW * 3).replace(b"\n", b"\r"),
            "line ends of a carriage return",
            r"tr '\r' '\n'",
        ),
        (b"sep=,\r\n" + HEADER + ROW * 3, "a line for Excel", "tail -n +2"),
        (b'\xef\xbb\xbf"SEP=,"\n' + HEADER + ROW * 3, "a line for Excel", "tail -n +2"),
    ],
)
def test_csv_of_other_programs_is_refused(
    tmp_path: Path, content: bytes, says: str, way: str
) -> None:
    """--keep-going changes nothing; the hint is a shell line that converts the file."""
    match = f"f is CSV with {says}.*: nothing was loaded"
    with pytest.raises(DataError, match=match):
        split(content, keep_going=True)
    with pytest.raises(DataError, match=match) as caught:
        split(content, *range(1, len(content)))
    assert caught.value.hint == f"{way} < FILE | vault-etl ingest --file - --source NAME"
    (tmp_path / "FILE").write_bytes(content)
    done = subprocess.run(
        ["/bin/sh", "-c", f"{way} < FILE"], cwd=tmp_path, capture_output=True, check=True
    )
    assert [row for _, row in split(done.stdout)] == [EVENT] * 3


@pytest.mark.parametrize(
    "line", [b"user_id", b"a,b,c", b"x,user_id", b"user_id ip", b"\xff,user_id,ip"]
)
def test_a_header_row_has_two_known_names(line: bytes) -> None:
    """One known name is not enough."""
    assert Header.parse(line, NAMES) is None


def test_a_row_that_does_not_end_is_refused() -> None:
    """A quote that is never closed is noticed before it fills the memory."""
    content = HEADER + ROW + b'u,"' + b"x\n" * MAX_LINE_BYTES
    with pytest.raises(DataError, match="the row of line 3 of f is longer than 1,048,576 bytes"):
        split(content, 100)
