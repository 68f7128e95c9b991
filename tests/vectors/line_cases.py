"""Cases of record ids of the lines of a file."""

from __future__ import annotations

import uuid
from typing import Any, Final

from tests.vectors import oracle

SOURCE: Final = uuid.UUID("0b5a7d5e-2f7a-4a3f-9d7a-6f4a1c9be2d3")
NEW_YEAR: Final = 1_767_225_600_000

LINES: Final = (
    (SOURCE, 1, NEW_YEAR, "the first line of a source, on the day that it names"),
    (SOURCE, 1, 0, "the same line, had it named no day: the time 0"),
    (SOURCE, 2, NEW_YEAR, "the second line, equal to the first or not"),
    (uuid.UUID(bytes=SOURCE.bytes[::-1]), 1, NEW_YEAR, "the same line of another source"),
    (uuid.UUID(int=0), 1, NEW_YEAR, "a source of zeros"),
    (SOURCE, 256, NEW_YEAR, "the number is big-endian"),
    (SOURCE, 2**32, NEW_YEAR, "and has 64 bits"),
    (SOURCE, 2**64 - 1, NEW_YEAR, "all of them"),
    (SOURCE, 1, 2**48 - 1, "the last millisecond"),
)

NO_LINES: Final = (
    (SOURCE, 0, NEW_YEAR, "lines are counted from 1"),
    (SOURCE, 2**64, NEW_YEAR, "65 bits"),
    (SOURCE, 1, -1, "before 1970"),
    (SOURCE, 1, 2**48, "49 bits of milliseconds"),
)


def line_id_cases() -> list[dict[str, Any]]:
    """Of lines that are records, and of those that cannot be."""
    return [
        _case("record_id", *line) | {"record_id": str(oracle.line_id(*line[:3]))} for line in LINES
    ] + [_case("rejected", *line) for line in NO_LINES]


def _case(
    expect: str, source_id: uuid.UUID, number: int, milliseconds: int, comment: str
) -> dict[str, Any]:
    return {
        "expect": expect,
        "comment": comment,
        "source_id": str(source_id),
        "number": number,
        "milliseconds": milliseconds,
    }
