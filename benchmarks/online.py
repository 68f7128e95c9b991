"""An index on a large table, in a transaction and online, and `schema apply`: how long a loader waits meanwhile.

The rows are in three months, made by SQL. The loader stores a batch of 50 rows, and then the next one, in the
month that is built first.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.results import Result, median_results
from benchmarks.size import Size
from tests.kit.applied import GROWN, put_in_force
from tests.kit.databases import empty
from tests.kit.online import finish, online
from tests.kit.scratch import Scratch
from tests.kit.sessions import connect
from vault_etl.local.postgres import EmbeddedPostgres
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_migrations import PostgresMigrations

IN_ONE: Final = "CREATE INDEX in a transaction"
ONLINE: Final = "migrate --online"
APPLY: Final = "schema apply"
BATCH: Final = 50
_AS_REPLICA: Final = "SET session_replication_role = replica;"
"""The rows are under no key."""
_NAME: Final = "9001_device.online"
_INDEX: Final = "CREATE INDEX user_logins_device ON vault_etl.user_logins (device_type, user_id);\n"
_FILL: Final = """
    INSERT INTO vault_etl.user_logins (
        record_id, user_id, device_type, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext,
        token_generation, create_date
    )
    SELECT overlay(
            vault_etl.first_record_id(date_trunc('month', now()) - make_interval(months => n %% 3))::text
            PLACING lpad(to_hex(%s + n), 12, '0') FROM 25
        )::uuid, md5(n::text), 'android', gen_random_uuid(), gen_random_uuid(),
        decode('01' || repeat(md5(n::text), 3), 'hex'), decode('01' || repeat(md5(n::text), 4), 'hex'), 1, '2026-01-01'
    FROM generate_series(1, %s) AS n
"""
_LOAD: Final = f"BEGIN; LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE; {_FILL}; COMMIT"
"""A batch behind the fence, as a loader writes it."""


def run(size: Size) -> Iterator[Result]:
    """Measure both on equal databases."""
    samples: dict[str, list[Mapping[str, float]]] = {}
    with tempfile.TemporaryDirectory() as directory:
        embedded = EmbeddedPostgres(Path(directory) / "postgres")
        folder = Path(directory) / "migrations"
        shutil.copytree(resource_dir("migrations"), folder)
        try:
            server = embedded.start()
            with empty(server) as database:
                with database.database("admin") as opened:
                    PostgresMigrations(opened, folder).apply()
                database.sql(_AS_REPLICA + _FILL, 0, size.growth[-1])
                database.sql("VACUUM ANALYZE")
                (folder / f"{_NAME}.sql").write_text(_INDEX, encoding="utf-8")
                for what, build in (
                    (IN_ONE, in_a_transaction),
                    (ONLINE, step_by_step),
                    (APPLY, apply),
                ):
                    with empty(server, database.name) as copy:
                        samples[what] = [measured(copy, partial(build, copy, folder))]
        finally:
            embedded.destroy()
    yield from median_results("online", samples, [(ONLINE, IN_ONE), (APPLY, IN_ONE)])


def in_a_transaction(database: Scratch, _folder: Path) -> None:
    """Migrate as `migrate` would, if the table were small."""
    database.sql(_INDEX)


def step_by_step(database: Scratch, folder: Path) -> None:
    """Migrate as `migrate --online` does."""
    with online(database, folder) as steps:
        finish(steps)


def apply(database: Scratch, _folder: Path) -> None:
    """Add two personal values, with their four indexes, and six plain columns, as `schema apply` does."""
    put_in_force(database, GROWN)


def measured(database: Scratch, build: Callable[[], None]) -> Mapping[str, float]:
    """Build it beside a loader. Return what both took."""
    with loader(database) as waits:
        time.sleep(2)
        waits.clear()
        started = time.monotonic()
        build()
        seconds = time.monotonic() - started
    return {
        "s": seconds,
        "batches meanwhile": len(waits),
        "ms of the longest batch": max(waits) * 1000,
    }


@contextmanager
def loader(database: Scratch) -> Iterator[list[float]]:
    """Load batches meanwhile. Yields the seconds that each batch took, the batch that runs at the end included."""
    waits: list[float] = []
    over = threading.Event()

    def load() -> None:
        with closing(connect(database.url("admin"))) as opened, opened.cursor() as cursor:
            opened.autocommit = True
            cursor.execute(_AS_REPLICA)
            first = 1 << 40
            while not over.is_set():
                started = time.monotonic()
                cursor.execute(_LOAD, (first, BATCH))
                waits.append(time.monotonic() - started)
                first += BATCH

    thread = threading.Thread(target=load)
    thread.start()
    try:
        yield waits
    finally:
        over.set()
        thread.join()
