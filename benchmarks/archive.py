"""Rows of a month to Parquet and back, beside the bare COPY that they begin as: CPU and bytes of a row.

Made-up rows of one month, in a detached table of an embedded Postgres, with random tokens and
ciphertexts, which do not compress. Each step is timed by the CPU time of this process.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Final

from benchmarks.results import Result, median_results
from benchmarks.size import Size
from tests.kit.sessions import connect
from vault_etl.archives.parquet_rows import ParquetRowsReader, ParquetRowsWriter
from vault_etl.local.postgres import EmbeddedPostgres
from vault_etl.partitions.postgres_month_rows import columns_of_month, load_month, rows_of_month
from vault_etl.platform.postgres import Database
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_migrations import PostgresMigrations

Samples = defaultdict[str, list[Mapping[str, float]]]

COPY: Final = "COPY alone"
WRITE: Final = "COPY to Parquet, hashed and counted"
READ: Final = "Parquet, read, hashed and counted"
RESTORE: Final = "Parquet to COPY"
PARQUET: Final = "Parquet"
HEAP: Final = "the heap, without its index"
CPU: Final = "CPU µs a row"
BYTES: Final = "bytes a row"
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


def run(size: Size) -> Iterator[Result]:
    """Write and read a month, `size.rounds` times."""
    rows = size.growth[0]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        embedded = EmbeddedPostgres(folder / "postgres", durable=False)
        try:
            url = embedded.start().url("admin", "postgres")
            found = _run(url, folder, rows, size.rounds)
        finally:
            embedded.destroy()
    pairs = [(WRITE, COPY), (READ, COPY), (RESTORE, COPY), (PARQUET, HEAP)]
    yield from median_results("archive", found, pairs)


def _run(url: str, folder: Path, rows: int, rounds: int) -> Samples:
    database = Database(url)
    PostgresMigrations(database, resource_dir("migrations")).apply()
    database.close()
    found: Samples = defaultdict(list)
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(_FILL, {"rows": rows})
        connection.commit()
        cursor.execute(f"SELECT pg_table_size('vault_etl_detached.{MONTH}')")
        found[HEAP].append({BYTES: cursor.fetchall()[0][0] / rows})
        columns = columns_of_month(cursor, MONTH)

        def pages() -> Iterator[bytes]:
            return rows_of_month(cursor, MONTH, columns)

        def write() -> list[Path]:
            with closing(ParquetRowsWriter(columns, folder, {})) as writer:
                parts = [part for page in pages() for part in writer.add(page)] + [*writer.end()]
            return [part.path for part in parts]

        def read(paths: list[Path]) -> Iterator[bytes]:
            reader = ParquetRowsReader(columns, {})
            for path in paths:
                yield from reader.read(path)

        def restore(paths: list[Path]) -> None:
            for page in read(paths):
                load_month(cursor, "restored", columns, page)

        def measure(paths: list[Path]) -> None:
            found[COPY].append(_cpu(rows, lambda: sum(map(len, pages()))))
            found[WRITE].append(_cpu(rows, lambda: paths.extend(write())))
            found[READ].append(_cpu(rows, lambda: sum(map(len, read(paths)))))
            found[RESTORE].append(_cpu(rows, lambda: restore(paths)))
            found[PARQUET].append({BYTES: sum(path.stat().st_size for path in paths) / rows})
            cursor.execute("TRUNCATE vault_etl_detached.restored")
            for path in paths:
                path.unlink()

        for _ in range(rounds):
            measure([])
    return found


def _cpu(rows: int, act: Callable[[], object]) -> Mapping[str, float]:
    began = time.process_time()
    act()
    return {CPU: (time.process_time() - began) / rows * 1e6}
