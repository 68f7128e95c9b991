"""The rows of a detached month: out of Postgres, into Parquet, and back, byte for byte."""

from __future__ import annotations

import hashlib
import io
from contextlib import closing
from pathlib import Path

import pytest

from tests.kit.fakes.manifests import COLUMNS
from tests.kit.scratch import Scratch
from vault_etl.archives.manifest import Column
from vault_etl.archives.parquet_rows import ParquetRowsReader, ParquetRowsWriter
from vault_etl.partitions.postgres_month_rows import columns_of_month, load_month, rows_of_month

MONTH = 'user_logins_2020_01"; odd'
TABLE = 'vault_etl_detached."user_logins_2020_01""; odd"'
COPY = "vault_etl_detached.copied"
ROWS = 45

FILL = f"""
CREATE TABLE {TABLE} (LIKE vault_etl.user_logins INCLUDING ALL);
CREATE TABLE {COPY} (LIKE vault_etl.user_logins INCLUDING ALL);
ALTER TABLE {TABLE} ADD COLUMN dropped text, ADD COLUMN more bigint, ADD COLUMN is_more boolean;
ALTER TABLE {COPY} ADD COLUMN more bigint, ADD COLUMN is_more boolean;
ALTER TABLE {TABLE} DROP COLUMN dropped;
INSERT INTO {TABLE}
SELECT ('00000000-0000-7000-8000-' || lpad(to_hex((i * 29) % {ROWS}), 12, '0'))::uuid, 'u-' || i, 'd',
    gen_random_uuid(), gen_random_uuid(), NULL, NULL,
    '\\x01'::bytea || int4send(i % 2) || sha256('a') || sha256('b') || '\\x00'::bytea || substr(sha256('c'), 1, 11),
    NULL, 1, nullif(i % 2, 0), 'de', NULL, '2020-01-31', '2020-01-31 12:00:00.123456+00', -i, i % 3 = 0
FROM generate_series(0, {ROWS - 1}) AS i;
"""  # noqa: S608 - names of ours

BY_ID = "COPY (SELECT * FROM {} ORDER BY record_id) TO STDOUT (FORMAT binary)"
DIFFERENT = f"SELECT count(*) FROM (TABLE {TABLE} EXCEPT TABLE {COPY}) AS other"  # noqa: S608


@pytest.fixture(scope="module")
def odd_month(shared: Scratch) -> Scratch:
    """A detached month with an odd name, a dropped column and two more of them, and an empty copy."""
    shared.sql(FILL)
    return shared


@pytest.mark.parametrize("page_rows", [1, 10, ROWS, 1000])
def test_pages_are_what_one_copy_makes(odd_month: Scratch, page_rows: int) -> None:
    """In the order of the ids, all columns that there are, whatever the size of a page."""
    whole = io.BytesIO()
    with odd_month.connect() as opened, opened.cursor() as cursor:
        cursor.copy_expert(BY_ID.format(TABLE), whole)
        columns = columns_of_month(cursor, MONTH)
        pages = list(rows_of_month(cursor, MONTH, columns, page_rows))
    assert columns == (*COLUMNS, Column("more", "bigint"), Column("is_more", "boolean"))
    assert len(pages) == -(-ROWS // page_rows)
    assert whole.getvalue()[19:-2] == b"".join(pages)


def test_a_month_comes_back_as_it_was(odd_month: Scratch, tmp_path: Path) -> None:
    """Through Parquet. The content hash is what `psql` and `sha256sum` make of the table."""
    with odd_month.connect() as opened, opened.cursor() as cursor:
        columns = columns_of_month(cursor, MONTH)
        with closing(ParquetRowsWriter(columns, tmp_path, {})) as writer:
            pages = rows_of_month(cursor, MONTH, columns, 10)
            parts = [part for page in pages for part in writer.add(page)] + [*writer.end()]
        reader = ParquetRowsReader(columns, {})
        for part in parts:
            for page in reader.read(part.path):
                load_month(cursor, "copied", columns, page)
        whole = io.BytesIO()
        cursor.copy_expert(BY_ID.format(COPY), whole)
        cursor.execute(DIFFERENT)
        assert cursor.fetchone() == (0,)
    assert reader.contents() == writer.contents()
    assert writer.contents().rows == ROWS
    assert writer.contents().sha256 == hashlib.sha256(whole.getvalue()).digest()


def test_a_missing_month_has_no_columns(odd_month: Scratch) -> None:
    """The caller can report the missing table."""
    with odd_month.connect() as opened, opened.cursor() as cursor:
        assert columns_of_month(cursor, "user_logins_1999_01") == ()
