"""The bytes that COPY gets are the bytes that PostgreSQL itself writes."""

from __future__ import annotations

import datetime as dt
import io
import struct
import uuid
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kit.scratch import Scratch
from vault_etl.base.pii import Pii
from vault_etl.crypto.keys import KeyMaterial
from vault_etl.platform.postgres_copy import BigInt, copy_binary

TYPES = ("uuid", "text", "bytea", "smallint", "date", "timestamptz", "bigint", "numeric")
EMPTY = b"PGCOPY\n\xff\r\n\0" + bytes(8) + b"\xff\xff"

storable = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
rows = st.tuples(
    st.none() | st.uuids(),
    st.none() | storable,
    st.none() | st.binary(max_size=100),
    st.none() | st.integers(-(2**15), 2**15 - 1),
    st.none() | st.dates(),
    st.none() | st.datetimes(timezones=st.just(dt.UTC)),
    st.none() | st.integers(-(2**63), 2**63 - 1).map(BigInt),
    st.none()
    | st.from_regex(
        r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][-+]?[0-9]{1,2})?", fullmatch=True
    ).map(Decimal),
)


def _by_postgres(database: Scratch, batch: list[tuple[object, ...]]) -> bytes:
    """The same rows, sent as literals and written by COPY TO."""
    out = io.BytesIO()
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMP TABLE t ({', '.join(f'c{n} {t}' for n, t in enumerate(TYPES))})"
        )
        for row in batch:
            cursor.execute("INSERT INTO t VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", row)
        cursor.copy_expert("COPY t TO STDOUT (FORMAT binary)", out)
    return out.getvalue()


@given(st.lists(rows, max_size=5))
@settings(max_examples=25, deadline=None)
def test_encoded_rows_are_the_output_of_copy(
    shared: Scratch, batch: list[tuple[object, ...]]
) -> None:
    """Rows of all types that rows have are byte for byte the output of COPY TO."""
    assert copy_binary(batch) == _by_postgres(shared, batch)


@pytest.mark.parametrize(
    "row",
    [
        (
            uuid.UUID(int=0),
            "",
            b"",
            0,
            dt.date(1, 1, 1),
            dt.datetime(1, 1, 1, tzinfo=dt.UTC),
            BigInt(0),
            Decimal("-0.00"),
        ),
        (
            uuid.UUID(int=2**128 - 1),
            "\U0010ffff\ufeffa\u0301\x01\n\t\\",
            bytes(1024),
            -1,
            dt.date.max,
            dt.datetime.max.replace(tzinfo=dt.UTC),
            BigInt(-(2**63)),
            Decimal("-10000.0001"),
        ),
        (None, None, None, None, None, None, None, None),
        (
            *(None, None, None, 32767, dt.date(2000, 1, 1)),
            *(dt.datetime(2000, 1, 1, tzinfo=dt.UTC), BigInt(2**63 - 1), Decimal("1e9")),
        ),
        (None, None, None, -32768, dt.date(1999, 12, 31), None, BigInt(-1), Decimal("1e-9")),
    ],
)
def test_edge_values_are_encoded_as_postgres_does(shared: Scratch, row: tuple[object, ...]) -> None:
    """Empty, longest, smallest and NULL values, and the days around the format's epoch."""
    assert copy_binary([row]) == _by_postgres(shared, [row])


def test_no_rows_are_a_header_and_a_trailer() -> None:
    """Signature, flags, extension length, and the file trailer -1: 21 bytes."""
    assert copy_binary([]) == EMPTY


@pytest.mark.parametrize(
    "value", [Pii.of_text("203.0.113.7"), KeyMaterial(bytes(32)), 1.5, bytearray(b"x"), ["x"], {}]
)
def test_types_that_cannot_be_stored_are_refused(value: object) -> None:
    """Plaintext and keys above all are refused, by a TypeError that names the type and not the value."""
    with pytest.raises(TypeError, match="cannot be stored in a row") as refused:
        copy_binary([(value,)])
    assert "203.0.113.7" not in str(refused.value)


@pytest.mark.parametrize("number", [2**15, -(2**15) - 1])
def test_a_number_that_is_no_smallint_is_refused(number: int) -> None:
    """The number does not wrap round to another generation."""
    with pytest.raises(struct.error):
        copy_binary([(number,)])
