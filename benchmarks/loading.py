"""Loading beside a bare COPY of the new rows, by the share of redelivered messages: the server's work for a message.

The loader of `ingest` stores batches of 1,000 messages, of which another worker has stored a share before. A session of
the superuser, whose statements fire no trigger, copies the rows that are new into an equal table, in binary and in as
many transactions. Indexes and checks are the table's own in both. CPU is that of the session's server process for the
median batch.
"""

from __future__ import annotations

import datetime as dt
import io
import os
import random
import statistics
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Final

from psycopg2.extensions import connection

from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.stack import Stack, embedded_stack
from benchmarks.used import cpu_of
from tests.kit.declarations import DEFAULT
from tests.kit.declared import DEVICE_ID, IP, PERSONAL_FIELDS, USER_LOGINS
from tests.kit.login_records import login_record
from tests.kit.new_keys import stored_key
from tests.kit.sessions import connect
from vault_etl.crypto.record_id import record_id_of_message
from vault_etl.declaration.sql import sql_blocks
from vault_etl.keys.postgres import PostgresKeyStore
from vault_etl.platform.postgres import Database
from vault_etl.platform.postgres_copy import copy_columns
from vault_etl.records.fenced_writes import Loaded, WriteKeys
from vault_etl.records.messages import SealedRecord
from vault_etl.records.postgres import PostgresRecordLoader
from vault_etl.records.postgres_insert import columns_of

LOADER: Final = "loader"
COPY: Final = "bare COPY"
PERCENT: Final = (0, 1, 20)
"""Of the messages are redelivered."""
BATCH: Final = 1_000

_SPACE: Final = uuid.UUID(int=0)
"""Of the names of users and addresses."""
_EVENT: Final = DEFAULT.event(USER_LOGINS)
_COPY: Final = sql_blocks("records/insert.sql", DEFAULT)[f"copy_{USER_LOGINS}"]

Rows = Sequence[SealedRecord]


def run(size: Size) -> Iterator[Result]:
    """Load and copy in turn, `size.rounds` times for each share."""
    samples: dict[int, dict[str, list[Mapping[str, float]]]] = {
        percent: {LOADER: [], COPY: []} for percent in PERCENT
    }
    with embedded_stack() as stack:
        for number in range(size.rounds):
            for percent, of_share in samples.items():
                for name, spent in one_round(stack, size.rows, percent, number):
                    of_share[name].append(spent)
            size.say(f"round {number + 1} of {size.rounds}")
    for percent, of_share in samples.items():
        bench = f"loading/{percent} % redelivered"
        yield from median_results(bench, of_share, [(LOADER, COPY)])


def one_round(
    stack: Stack, count: int, percent: int, seed: int
) -> Iterator[tuple[str, Mapping[str, float]]]:
    """Load messages by the loader, and then by COPY, each into a copy of the vault. Yield what each took."""
    with stack.copy("vault_etl") as database:
        settings = stack.on(database)
        with closing(Database(settings["VAULT_ETL_DATABASE_URL"])) as vault:
            store = PostgresKeyStore(vault)
            keys = WriteKeys((1, None), tuple(stored_key(store, f) for f in PERSONAL_FIELDS))
            again = random.Random(seed).sample(range(count), count * percent // 100)  # noqa: S311
            first, rows = made_up_rows(keys, BATCH), made_up_rows(keys, count, frozenset(again))
            stored = [row for row in rows if row.receive_count > 1]
            load = loader(vault, keys)
            with vault.transaction() as cursor:
                cursor.execute("SELECT pg_backend_pid()")
                ((pid,),) = cursor.fetchall()
            yield LOADER, measured(stack, database, pid, load, [*first, *stored], in_batches(rows))
    new = [[row for row in batch if row.receive_count == 1] for batch in in_batches(rows)]
    with stack.copy("vault_etl") as database:
        settings = stack.on(database, "admin")
        with closing(connect(settings["VAULT_ETL_DATABASE_URL"])) as bare:
            copy = copier(bare)
            pid = bare.info.backend_pid
            yield COPY, measured(stack, database, pid, copy, [*first, *stored], new)


def measured(
    stack: Stack,
    database: str,
    pid: int,
    store: Callable[[Rows], None],
    before: Rows,
    batches: Sequence[Rows],
) -> Mapping[str, float]:
    """Store the rows that are there before, and then each batch; the work of the session `pid` for a message."""
    for batch in in_batches(before):
        store(batch)
    stack.sql(database, "CHECKPOINT")
    wal_bytes = stack.served(database).wal_bytes
    cpus = []
    for batch in batches:
        before_s = cpu_of(pid)
        store(batch)
        cpus.append(cpu_of(pid) - before_s)
    messages = BATCH * len(batches)
    wal_bytes = stack.served(database).wal_bytes - wal_bytes
    with stack.session(database) as cursor:
        cursor.execute(f"SELECT count(*) FROM vault_etl.{USER_LOGINS}")  # noqa: S608 - a name of ours
        if cursor.fetchall() != [(messages + BATCH,)]:
            message = "a row is missing, or stored twice"
            raise RuntimeError(message)
    return {
        "Postgres CPU µs a message": statistics.median(cpus) / BATCH * 1e6,
        "WAL bytes a message": wal_bytes / messages,
    }


def loader(vault: Database, keys: WriteKeys) -> Callable[[Rows], None]:
    """Return what stores a batch as `ingest` does."""
    inner = PostgresRecordLoader(vault, DEFAULT)

    def load(rows: Rows) -> None:
        if not isinstance(inner.load(rows, [], keys), Loaded):
            message = "the loader refused a batch"
            raise TypeError(message)

    return load


def copier(bare: connection) -> Callable[[Rows], None]:
    """Return what stores a batch by COPY alone, without triggers."""
    with bare.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        bare.commit()

    def copy(rows: Rows) -> None:
        ordered = sorted(rows, key=lambda row: row.record_id.int)
        content = copy_columns(columns_of(_EVENT, ordered))
        with bare.cursor() as cursor:
            cursor.copy_expert(_COPY, io.BytesIO(content))
        bare.commit()

    return copy


def in_batches(rows: Rows) -> list[Rows]:
    """Cut rows into batches."""
    return [rows[first : first + BATCH] for first in range(0, len(rows), BATCH)]


def made_up_rows(keys: WriteKeys, count: int, again: Collection[int] = ()) -> Rows:
    """Rows of the last hour in the order of their times, with noise for ciphertexts. Users and addresses repeat.

    The messages with the numbers `again` are received a second time.
    """
    heads = {key.field: b"\x01" + key.key_id.to_bytes(4, "big") for key in keys.data_keys}
    now = dt.datetime.now(dt.UTC)
    last_ms, step = int(now.timestamp() * 1000), 3_600_000 / count
    chosen = random.Random(count)  # noqa: S311
    return [
        login_record(
            record_id=record_id_of_message(str(uuid.uuid4()), last_ms - int((count - n) * step)),
            user_id=str(uuid.uuid5(_SPACE, f"user {chosen.randrange(count)}")),
            device_type=("android", "ios")[n % 2],
            tokens={IP: uuid.uuid5(_SPACE, str(chosen.randrange(count))), DEVICE_ID: uuid.uuid4()},
            next_tokens=None,
            ciphertexts={field: head + os.urandom(44) for field, head in heads.items()},
            token_generation=1,
            next_token_generation=None,
            locale=("RU", "PH", "ID", "CN", None)[n % 5],
            app_version=f"2.3.{n % 7}",
            create_date=now.date(),
            event_time=None,
            receive_count=1 + (n in again),
        )
        for n in range(count)
    ]
