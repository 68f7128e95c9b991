"""Loading beside a bare COPY of the same rows into the same table: the server's CPU of a row.

`ingest --file` loads events in batches of 1,000; what a load of one event takes, its start, is taken off. Then the
table is emptied, and a session of the same login copies the same rows into it, in binary and in as many transactions.
Indexes, checks and triggers are the table's own in both.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from typing import Final

from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.stack import Served, Stack, embedded_stack
from tests.kit.sessions import connect
from vault_etl.event.made_up_events import made_up_events

COPY: Final = "bare COPY"
INGEST: Final = "ingest --file"
BATCH: Final = 1_000

_EMPTY: Final = "SET session_replication_role = replica; TRUNCATE vault_etl.user_logins"


def run(size: Size) -> Iterator[Result]:
    """Load and copy, `size.rounds` times in turn."""
    samples: dict[str, list[Mapping[str, float]]] = {INGEST: [], COPY: []}
    with embedded_stack() as stack:
        for name, count, seed in (("one", 1, 2), ("all", size.rows, 1)):
            events = made_up_events(count, seed=seed, messy_every=0)
            (stack.directory / name).write_text("\n".join(events), encoding="utf-8")
        for number in range(size.rounds):
            with stack.copy("vault_etl") as database:
                one_round(stack, database, samples)
            size.say(f"round {number + 1} of {size.rounds}")
    yield from median_results("loading", samples, [(INGEST, COPY)])


def one_round(
    stack: Stack, database: str, samples: Mapping[str, list[Mapping[str, float]]]
) -> None:
    """Load all events, and copy the rows that they became."""
    start = load(stack, database, "one")
    loaded = load(stack, database, "all") - start
    columns, batches = stored_rows(stack, database)
    stack.sql(database, _EMPTY, "CHECKPOINT")
    before = stack.served(database)
    copy_in(stack.on(database)["VAULT_ETL_DATABASE_URL"], columns, batches)
    copied = stack.served(database) - before
    rows = BATCH * len(batches)
    for name, served in ((INGEST, loaded), (COPY, copied)):
        samples[name].append(
            {
                "Postgres CPU µs a row": served.cpu / rows * 1e6,
                "WAL bytes a row": served.wal_bytes / rows,
            }
        )


def load(stack: Stack, database: str, name: str) -> Served:
    """Load the events of a file of the stack. Return the work of the server."""
    before = stack.served(database)
    arguments = ("ingest", "--quiet", "--file", str(stack.directory / name))
    stack.command(*arguments, extra=stack.on(database))
    return stack.served(database) - before


def stored_rows(stack: Stack, database: str) -> tuple[str, Sequence[bytes]]:
    """Return the names of the columns, and the rows in batches of COPY's binary format."""
    batches = []
    with stack.session(database) as cursor:
        cursor.execute("SELECT * FROM vault_etl.user_logins LIMIT 0")
        columns = ", ".join(column.name for column in cursor.description or ())
        cursor.execute("SELECT count(*) FROM vault_etl.user_logins")
        ((count,),) = cursor.fetchall()
        for offset in range(0, count, BATCH):
            batch = io.BytesIO()
            cursor.copy_expert(
                f"COPY (SELECT {columns} FROM vault_etl.user_logins ORDER BY record_id"  # noqa: S608 - names of columns
                f" OFFSET {offset} LIMIT {BATCH}) TO STDOUT (FORMAT binary)",
                batch,
            )
            batches.append(batch.getvalue())
    return columns, batches


def copy_in(url: str, columns: str, batches: Sequence[bytes]) -> None:
    """Copy each batch in a transaction of its own."""
    with closing(connect(url)) as connection, connection.cursor() as cursor:
        for batch in batches:
            cursor.copy_expert(
                f"COPY vault_etl.user_logins ({columns}) FROM STDIN (FORMAT binary)",
                io.BytesIO(batch),
            )
            connection.commit()
