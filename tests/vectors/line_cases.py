"""Cases of record ids of the lines of a file."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from tests.vectors import oracle

LINE: Final = (
    b'{"user_id": "u-1", "device_type": "ios", "ip": "203.0.113.7", "device_id": "d-1",'
    b' "create_date": "2026-01-01"}'
)
SOURCE: Final = hashlib.sha256(LINE + b"\n").digest()
NEW_YEAR: Final = 1_767_225_600_000

LINES: Final = (
    (SOURCE, 1, LINE, NEW_YEAR, "the one line of a file, on the day that it names"),
    (SOURCE, 1, LINE, 0, "the same line, had it named no day: the time 0"),
    (SOURCE, 2, LINE, NEW_YEAR, "an equal line, the second of the file"),
    (SOURCE[::-1], 1, LINE, NEW_YEAR, "the same line of another file"),
    (b"logins of May", 1, LINE, NEW_YEAR, "of a source with a name"),
    ("Zugänge".encode(), 1, LINE, NEW_YEAR, "a name is UTF-8"),
    (b"", 1, LINE, NEW_YEAR, "the length of the source counts when there is none"),
    (b"s" * 300, 1, LINE, NEW_YEAR, "the length of the source is big-endian"),
    (SOURCE, 256, LINE, NEW_YEAR, "the number is big-endian"),
    (SOURCE, 2**32, LINE, NEW_YEAR, "and has 64 bits"),
    (SOURCE, 2**64 - 1, LINE, NEW_YEAR, "all of them"),
    (SOURCE, 1, LINE + b" ", NEW_YEAR, "white space around the JSON counts"),
    (SOURCE, 1, LINE.replace(b": ", b":"), NEW_YEAR, "and within"),
    (SOURCE, 1, b"\xff\x00 no event", 0, "any bytes, event or not"),
    (SOURCE, 1, b"", 0, "none: no file has such a line, since blank ones are skipped"),
    (SOURCE, 1, LINE, 2**48 - 1, "the last millisecond"),
    (b"ab", 1, b"\x00" * 7 + b"\x01c", 0, "parts that would run together without the length: one"),
    (b"ab" + b"\x00" * 7 + b"\x01", 1, b"c", 0, "and the other"),
)

NO_LINES: Final = (
    (SOURCE, 0, LINE, NEW_YEAR, "lines are counted from 1"),
    (SOURCE, 2**64, LINE, NEW_YEAR, "65 bits"),
    (SOURCE, 1, LINE, -1, "before 1970"),
    (SOURCE, 1, LINE, 2**48, "49 bits of milliseconds"),
)


def line_id_cases() -> list[dict[str, Any]]:
    """Of lines that are records, and of those that cannot be."""
    return [
        _case("record_id", *line) | {"record_id": str(oracle.line_id(*line[:4]))} for line in LINES
    ] + [_case("rejected", *line) for line in NO_LINES]


def _case(
    expect: str, source: bytes, number: int, line: bytes, milliseconds: int, comment: str
) -> dict[str, Any]:
    return {
        "expect": expect,
        "comment": comment,
        "source": source.hex(),
        "number": number,
        "line": line.hex(),
        "milliseconds": milliseconds,
    }
