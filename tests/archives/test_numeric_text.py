"""Numbers in the binary format of PostgreSQL, and their text: the server says what is right."""

from __future__ import annotations

import pytest

from tests.kit.scratch import Scratch
from vault_etl.archives.numeric_text import numeric_text, numeric_value

NUMBERS = (
    *("0", "0.00", "1", "-1", "19.90", "-19.90", "9999", "10000", "10001", "100000000", "1234567"),
    *("0.1", "0.0001", "0.00001", "0.00000001", "-0.000000010", "1.00010", "10000.00010", "0.9999"),
    *("1e99", "-1.5e-99", "12345678901234567890.12345678901234567890", "1000000000000.0001"),
)
NOT_NUMBERS = ("NaN", "Infinity", "-Infinity")


def test_a_number_and_its_text_are_those_of_the_server(shared: Scratch) -> None:
    """Each digit and each zero at the end is kept."""
    found = shared.sql(
        "SELECT n::text, numeric_send(n) FROM unnest(%s::numeric[]) AS given (n)", list(NUMBERS)
    )
    assert len(found) == len(NUMBERS)
    for text, value in found:
        assert numeric_text(bytes(value)) == text.encode()
        assert numeric_value(text.encode()) == bytes(value)


def test_what_is_no_number_is_refused(shared: Scratch) -> None:
    """NaN and the infinities of the server, cut bytes, zeros at either end, and other texts."""
    found = shared.sql(
        "SELECT numeric_send(n) FROM unnest(%s::numeric[]) AS given (n)", list(NOT_NUMBERS)
    )
    one = numeric_value(b"1.5")
    wrong = [bytes(value) for (value,) in found]
    wrong += [b"", one[:-1], one + b"\0", b"\0\1" + bytes(8), one[:8] + b"\xff\xff" + one[10:]]
    for value in wrong:
        with pytest.raises(ValueError, match="not a number"):
            numeric_text(value)
    for text in (b"", b"1.", b".1", b"1e5", b"NaN", b"+1", b"1 "):
        with pytest.raises(ValueError, match="not a number"):
            numeric_value(text)
