"""Rows of a month to Parquet and back, beside the bare COPY that they begin as: rows a second, and bytes a row.

    .venv/bin/python -m benchmarks.archive [ROWS]

ROWS (1,000,000) made-up rows of one month, in a detached table of an embedded Postgres, with random tokens and
ciphertexts, which do not compress. Each step is timed by the CPU time of this process, and by the clock.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Final, TypeVar

from tests.kit.sessions import connect
from vault_etl.local.postgres import EmbeddedPostgres
from vault_etl.partitions.parquet_rows import ParquetRowsReader, ParquetRowsWriter
from vault_etl.partitions.postgres_archive import columns_of_month, load_month, rows_of_month
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_migrations import PostgresMigrations

_T = TypeVar("_T")

ROWS: Final = 1_000_000
MONTH: Final = "user_logins_2020_01"

_FILL: Final = """
CREATE TABLE vault_etl_detached.user_logins_2020_01 (LIKE vault_etl.user_logins INCLUDING ALL);
CREATE TABLE vault_etl_detached.restored (LIKE vault_etl.user_logins);
INSERT INTO vault_etl_detached.user_logins_2020_01
SELECT (lpad(to_hex(1577836800000 + i), 12, '0') || '7' || lpad(to_hex(i %% 4096), 3, '0') || '8'
        || substring(md5(i::text) FOR 15))::uuid,
    'user-' || (i::bigint * 7919) %% 200000, 'android', gen_random_uuid(), gen_random_uuid(), NULL, NULL,
    '\\x0101020304'::bytea || sha256(('ip' || i)::bytea) || substring(sha256(i::text::bytea) FOR 12),
    '\\x0105060708'::bytea || sha256(('d' || i)::bytea) || substring(sha256(i::text::bytea) FOR 28),
    1, NULL, 'PH', '2.3.' || i %% 40, '2020-01-01'::date + (i::bigint * 31 / %(rows)s)::integer, NULL
FROM generate_series(0, %(rows)s - 1) AS i
"""


def main() -> None:
    """Print one JSON object."""
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        embedded = EmbeddedPostgres(folder / "postgres", durable=False)
        try:
            url = embedded.start().url("admin", "postgres")
            found = _run(url, folder, rows)
        finally:
            embedded.destroy()
    json.dump(found, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _run(url: str, folder: Path, rows: int) -> dict[str, float]:
    database = Database(url)
    PostgresMigrations(database, resource_dir("migrations")).apply()
    database.close()
    found: dict[str, float] = {"rows": rows}
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_FILL, {"rows": rows})
        connection.commit()
        cursor.execute(f"SELECT pg_table_size('vault_etl_detached.{MONTH}')")
        found["bytes a row in the heap"] = round(cursor.fetchall()[0][0] / rows, 1)
        columns = columns_of_month(cursor, MONTH)

        def pages() -> Iterator[bytes]:
            return rows_of_month(cursor, MONTH, columns)

        def write() -> list[Path]:
            with closing(ParquetRowsWriter(columns, folder, MONTH)) as writer:
                parts = [part for page in pages() for part in writer.add(page)] + [*writer.end()]
            return [part.path for part in parts]

        def read(paths: list[Path]) -> Iterator[bytes]:
            reader = ParquetRowsReader(columns)
            for path in paths:
                yield from reader.read(path)

        def restore(paths: list[Path]) -> None:
            for page in read(paths):
                load_month(cursor, "restored", columns, page)

        _timed(found, "COPY alone", lambda: sum(map(len, pages())))
        paths = _timed(found, "COPY to Parquet", write)
        found["bytes a row in Parquet"] = round(sum(p.stat().st_size for p in paths) / rows, 1)
        _timed(found, "Parquet, read and hashed", lambda: sum(map(len, read(paths))))
        _timed(found, "Parquet to COPY", lambda: restore(paths))
    return found


def _timed(found: dict[str, float], step: str, do: Callable[[], _T]) -> _T:
    clock, processor = time.perf_counter(), time.process_time()
    result = do()
    processor, clock = time.process_time() - processor, time.perf_counter() - clock
    found[f"{step}: rows/s"] = round(found["rows"] / clock)
    found[f"{step}: us of this process a row"] = round(processor / found["rows"] * 1e6, 2)
    return result


if __name__ == "__main__":
    main()
