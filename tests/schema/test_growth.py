"""Frequent queries read as many pages of a vault ten times as large: held at 5,000 and 50,000 rows over 24 months.

The rows are those of `benchmarks.scale`, which measures the commands themselves at 10^5, 10^6 and 10^7.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from psycopg2.extensions import cursor

import benchmarks
from benchmarks.layout import named
from tests.kit.databases import clone
from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, IP
from tests.kit.plans import pages
from tests.kit.scratch import Scratch
from vault_etl.declaration.sql import sql_blocks
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.postgres_stream import PAGE_BYTES

SMALL, LARGE = 5_000, 50_000
KEYS = 60
FIRST_KEY, UNUSED_KEY = 30, 29 + KEYS
ROTATION = uuid.UUID(int=7)

FILL = named(Path(benchmarks.__file__).with_name("scale.sql"))
SAMPLED = 64 * 24
"""Pages that `doctor` reads: the same number of each month."""


@pytest.fixture(scope="module")
def grown(postgres: RunningPostgres) -> Iterator[Mapping[int, Scratch]]:
    """Two vaults, counted and analysed."""
    with ExitStack() as opened:
        vaults = {rows: opened.enter_context(clone(postgres)) for rows in (SMALL, LARGE)}
        for rows, vault in vaults.items():
            vault.add_data_key(IP)
            fill(vault, rows)
        yield vaults


def fill(vault: Scratch, rows: int) -> None:
    """Fill all that the benchmark has except the log, which has a test of its own."""
    sizes = {"rows": rows, "keys": KEYS, "messages": rows // 2, "first": 0, "last": rows - 1}
    with vault.connect() as connection, connection.cursor() as opened:
        connection.autocommit = True
        opened.execute(FILL["months"])
        opened.execute("SET session_replication_role = replica")
        for name in ("keys", "records", "quarantine"):
            opened.execute(FILL[name], sizes)
        opened.execute("SET session_replication_role = DEFAULT")
        opened.execute("SELECT vault_etl.recount_values()")
        opened.execute(
            "INSERT INTO key_rotations (purpose, rotation_id, fields, old_keys)"
            " VALUES ('data', %s, '{device_id,ip,quarantine}', %s)",
            (str(ROTATION), list(range(FIRST_KEY, UNUSED_KEY))),
        )
        opened.execute("VACUUM ANALYZE")


ANY_TIME = dict.fromkeys(("reason_code", "since", "until", "source", "after_time", "after_id"))
PAGE = {
    "limit": 500,
    "bytes": PAGE_BYTES,
    "after": None,
    "fields": list(FIELDS),
}
MIDDLE = "(vault_etl.first_record_id(now() - interval '12 months'))"

ASKED: dict[str, tuple[str, Mapping[str, object]]] = {
    "keys list": (sql_blocks("keys/keys.sql", DEFAULT)["usage"], {"counted": False}),
    "the ages of keys": (sql_blocks("keys/keys.sql", DEFAULT)["oldest"], {"state": "active"}),
    "keys destroy": (
        sql_blocks("keys/destroy.sql", DEFAULT)["needs_of_data_key"],
        {"key_id": FIRST_KEY},
    ),
    "what a rotation left": (
        sql_blocks("rotation/reencrypt.sql", DEFAULT)["remaining"],
        {"fields": ["ip", "device_id", "quarantine"], "old_keys": "{1}"},
    ),
    **{
        f"a page of {table}": (
            sql_blocks("rotation/reencrypt.sql", DEFAULT)[f"page_{table}"]
            .replace("%(first)s", MIDDLE)
            .replace("%(last)s", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"),
            {**PAGE, "rotation_id": str(ROTATION)},
        )
        for table in ("user_logins", "quarantine")
    },
    "erase --user-id": (
        "SELECT * FROM vault_etl.erase_preview(NULL, md5('user7')::uuid::text)",
        {},
    ),
    "quarantine list --limit": (
        sql_blocks("quarantine/quarantine.sql", DEFAULT)["before_the_newest"],
        {**ANY_TIME, "limit": 50},
    ),
    "a page of quarantine list": (
        sql_blocks("quarantine/quarantine.sql", DEFAULT)["rows"],
        ANY_TIME,
    ),
    "status": (sql_blocks("doctor/status.sql", DEFAULT)["commits"], {}),
    "doctor's sample": (
        sql_blocks("doctor/doctor.sql", DEFAULT)["token_generations"],
        {"every_row": False},
    ),
    "partitions list": (sql_blocks("partitions/partitions.sql", DEFAULT)["list"], {}),
    "a start of ingest": (sql_blocks("records/records.sql", DEFAULT)["ranges"], {}),
    "its fold": ("SELECT vault_etl.fold_value_counts()", {}),
}


def read(opened: cursor, statement: str, values: Mapping[str, object]) -> int:
    """Return the pages that a query reads the second time in a session: the first time reads the catalogs."""
    pages(opened, statement, values)
    return pages(opened, statement, values)[0]


@pytest.mark.parametrize("name", ASKED)
def test_ten_times_the_rows_are_as_many_pages(grown: Mapping[int, Scratch], name: str) -> None:
    """The margin is for an index that is one level deeper, and rows that are larger by chance."""
    costs = {}
    for rows, vault in grown.items():
        with vault.connect() as connection, connection.cursor() as opened:
            costs[rows] = read(opened, *ASKED[name])
    sampled = SAMPLED if name == "doctor's sample" else 10
    assert costs[LARGE] <= 1.5 * costs[SMALL] + sampled, costs


def test_a_query_that_reads_all_rows_would_be_found(grown: Mapping[int, Scratch]) -> None:
    """For comparison, a query that reads each row is far beyond the margin."""
    costs = {}
    for rows, vault in grown.items():
        with vault.connect() as connection, connection.cursor() as opened:
            costs[rows] = read(opened, "SELECT count(ip_ciphertext) FROM user_logins", {})
    assert costs[LARGE] > 4 * costs[SMALL]
