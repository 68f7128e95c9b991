"""The plans of our statements on a table that is not empty."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from psycopg2.extensions import cursor

from tests.kit.declarations import DEFAULT
from tests.kit.declared import FIELDS, PERSONAL_FIELDS
from tests.kit.plans import (
    OLD_KEYS,
    PAGE,
    ROWS,
    WORKERS,
    fill,
    nodes,
    returned_by,
    row_ids,
    rows_read,
    staged,
    whole_range,
)
from tests.kit.scratch import Scratch
from tests.kit.swaps import everything, open_data_rotation
from vault_etl.declaration.sql import sql_blocks
from vault_etl.platform.postgres_stream import PAGE_BYTES
from vault_etl.rotation.postgres_reencrypt import PostgresReencrypter
from vault_etl.rotation.ranges import OpenRotation


@pytest.fixture(scope="module")
def many_rows(shared: Scratch) -> Scratch:
    """Twenty thousand rows of forty days, as many in quarantine, ten thousand keys, and statistics."""
    fill(shared)
    return shared


@pytest.mark.parametrize("old_keys", [(7, 8, 9), tuple(range(100, 100 + OLD_KEYS))])
@pytest.mark.parametrize("start", [None, ROWS // 2])
@pytest.mark.parametrize("table", ["user_logins", "quarantine"])
def test_a_page_reads_a_page(
    many_rows: Scratch, table: str, start: int | None, old_keys: tuple[int, ...]
) -> None:
    """The rows to re-encrypt are read from the primary key, at the beginning and in the middle.

    And no further than the page goes, however many keys are old; and the keys once.
    """
    rotation = OpenRotation(rotation_id=uuid.uuid4(), fields=FIELDS, old_keys=frozenset(old_keys))
    open_data_rotation(many_rows.sql, rotation)
    values = {
        **whole_range(many_rows, table, start),
        "fields": list(FIELDS),
        "rotation_id": rotation.rotation_id,
    }
    statement = sql_blocks("rotation/reencrypt.sql", DEFAULT)[f"page_{table}"]
    plan = list(nodes(many_rows, statement, {**values, "limit": PAGE, "bytes": PAGE_BYTES}))
    assert not [node for node in plan if "Sort" in node["Node Type"]]
    assert plan[0]["Actual Rows"] == PAGE
    assert rows_read(plan) <= PAGE
    assert [node.get("Relation Name") for node in plan].count("data_keys") == 1


@pytest.mark.parametrize("start", [None, ROWS // 2])
def test_a_page_of_the_backfill_reads_a_page(many_rows: Scratch, start: int | None) -> None:
    """A page of rows without a token of the pending generation reads that page and no more."""
    values = {**whole_range(many_rows, "user_logins", start), "active": 1, "pending": 3}
    plan = list(
        nodes(
            many_rows,
            sql_blocks("rotation/tokens.sql", DEFAULT)["page_user_logins"],
            {**values, "limit": PAGE, "bytes": PAGE_BYTES},
        )
    )
    assert not [node for node in plan if "Sort" in node["Node Type"]]
    assert plan[0]["Actual Rows"] == PAGE
    assert rows_read(plan) <= PAGE


@pytest.mark.parametrize("start", [None, ROWS // 2])
def test_a_page_of_named_rows_reads_no_row_twice(many_rows: Scratch, start: int | None) -> None:
    """Rows come in order. All are under the one key that is added first, and no page reads further than it must."""

    def add_key(opened: cursor) -> None:
        opened.execute(
            "INSERT INTO vault_etl.data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, expires_at)"
            " VALUES (7, 'ip', 'a', 'w', '8 bytes!', now() + interval '1 h')"
        )

    values = {**whole_range(many_rows, "user_logins", start), "limit": PAGE, "bytes": PAGE_BYTES}
    nothing = dict.fromkeys(("record_id", "key_id", "login", "since", "until"))
    sql = sql_blocks("rotation/tokens.sql", DEFAULT)["named_user_logins"]
    plan = list(nodes(many_rows, sql, {**values, **nothing}, add_key))
    assert not [node for node in plan if "Sort" in node["Node Type"]]
    assert plan[0]["Actual Rows"] == PAGE
    assert rows_read(plan) <= PAGE
    record_id = many_rows.value("SELECT record_id FROM user_logins LIMIT 1")
    assert (
        rows_read(
            nodes(many_rows, sql, {**values, **nothing, "record_id": record_id, "after": None})
        )
        <= 1
    )
    count = sql_blocks("rotation/tokens.sql", DEFAULT)["count_named"]
    assert rows_read(nodes(many_rows, count, {**values, **nothing, "record_id": record_id})) <= 2


def test_a_page_sends_no_list_of_keys(many_rows: Scratch) -> None:
    """Ten thousand old keys are in the database already, so a page names its rotation."""
    old = frozenset(range(100, 100 + OLD_KEYS))
    rotation = OpenRotation(rotation_id=uuid.uuid4(), fields=PERSONAL_FIELDS, old_keys=old)
    open_data_rotation(many_rows.sql, rotation)
    log = "log_statement = 'all'"
    with many_rows.database("re-encrypt") as database:
        many_rows.sql(f'ALTER DATABASE "{many_rows.name}" SET {log}')
        offset = many_rows.server.log.stat().st_size
        page = PostgresReencrypter(database, DEFAULT).page(rotation, everything(), PAGE)
        many_rows.sql(f'ALTER DATABASE "{many_rows.name}" RESET log_statement')
    assert len(page.rows) == PAGE
    statements = many_rows.server.log.read_bytes()[offset:].decode()
    assert str(rotation.rotation_id) in statements
    assert len(statements) < 10_000


SEALED = ("ip_ciphertext", "ip_ciphertext", "device_id_ciphertext", "device_id_ciphertext")
TOKENS = (
    *("token_generation", "masked_ip", "masked_device_id", "ip_ciphertext", "device_id_ciphertext"),
    *("next_masked_ip", "next_masked_device_id"),
)


@pytest.mark.parametrize(
    ("file", "name", "columns"),
    [
        ("rotation/reencrypt.sql", "replace_user_logins", SEALED),
        ("rotation/tokens.sql", "fill_user_logins", TOKENS),
    ],
)
def test_a_batch_reads_its_rows(
    many_rows: Scratch, file: str, name: str, columns: tuple[str, ...]
) -> None:
    """A batch of swaps or fills reads the stretch of the table with its records, and no more."""
    ids = row_ids(many_rows, "user_logins", ROWS // 2, PAGE)
    values = {"first": ids[0], "last": ids[-1], "active": 1, "pending": 3}
    plan = list(nodes(many_rows, sql_blocks(file, DEFAULT)[name], values, staged(file, *columns)))
    assert PAGE <= rows_read(plan) <= 2 * PAGE
    written = next(node for node in plan if node["Node Type"] == "ModifyTable")
    assert sum(node["Actual Rows"] for node in written["Plans"]) == PAGE


def test_a_batch_of_bodies_reads_its_rows(many_rows: Scratch) -> None:
    """The rows are read by the primary key."""
    ids = row_ids(many_rows, "quarantine", ROWS // 2, 16)
    body = b"\x01\x00\x00\x00\x09" + bytes(44)
    values = {"record_ids": ids, "old": [body] * 16, "new": [body] * 16}
    plan = list(
        nodes(
            many_rows, sql_blocks("rotation/reencrypt.sql", DEFAULT)["replace_quarantine"], values
        )
    )
    assert rows_read(plan) == 16


def test_a_sample_does_not_scan(many_rows: Scratch) -> None:
    """Each place gives one row, the next one in the primary key."""
    starts = row_ids(many_rows, "user_logins", 0, ROWS)[50 :: ROWS // 100]
    values = {"starts": starts, "active": 1, "pending": 2}
    plan = list(
        nodes(many_rows, sql_blocks("rotation/tokens.sql", DEFAULT)["sample_user_logins"], values)
    )
    assert rows_read(plan) <= len(starts)
    assert plan[0]["Actual Rows"] == len(starts)


def test_the_ends_of_the_months_are_looked_up(many_rows: Scratch) -> None:
    """The first and the last record of each month come from the primary key."""
    months = many_rows.sql(sql_blocks("records/records.sql", DEFAULT)["ranges"])
    values = {"firsts": [row[1] for row in months], "ends": [row[2] for row in months]}
    plan = list(
        nodes(many_rows, sql_blocks("rotation/ranges.sql", DEFAULT)["bounds_user_logins"], values)
    )
    assert rows_read(plan) <= 2 * len(months)
    assert (
        rows_read(
            nodes(many_rows, sql_blocks("rotation/rotation.sql", DEFAULT)["quarantine_bounds"], {})
        )
        <= 2
    )


@pytest.mark.parametrize(
    ("file", "name", "times"),
    [
        ("rotation/reencrypt.sql", "remaining_user_logins", 1),
        ("rotation/reencrypt.sql", "remaining_quarantine", 1),
        ("rotation/tokens.sql", "missing", 1),
        ("rotation/tokens.sql", "left_out", 1),
        ("rotation/tokens.sql", "count_named", 1),
        ("rotation/tokens.sql", "map_ip", 1),
        ("rotation/tokens.sql", "map_device_id", 1),
        ("rotation/tokens.sql", "count", 1),
        ("rotation/tokens.sql", "blamed", 1),
        ("rotation/tokens.sql", "unequal_user_logins/masked_ip", 1),
        ("rotation/tokens.sql", "unequal_user_logins/masked_device_id", 1),
    ],
)
def test_a_check_of_all_rows_reads_them_once(
    many_rows: Scratch, file: str, name: str, times: int
) -> None:
    """A statement that counts or checks all rows reads the table once."""
    values = {"fields": list(FIELDS), "old_keys": [7, 8, 9], "limit": 10}
    tokens = {"active": 1, "pending": 2, "blamed": 3, "pairs": 10}
    keys = dict.fromkeys(("record_id", "key_id", "login", "since", "until"))
    assert (
        rows_read(nodes(many_rows, sql_blocks(file, DEFAULT)[name], {**values, **tokens, **keys}))
        <= times * ROWS
    )


def test_a_record_is_found_in_one_partition(many_rows: Scratch) -> None:
    """Reading a record by its id opens the one partition that its id names."""
    record_id: uuid.UUID = many_rows.value("SELECT record_id FROM user_logins LIMIT 1")
    values = {"record_id": record_id, "fields": ["ip"]}
    plan = list(nodes(many_rows, returned_by(many_rows, "audit_disclose"), values))
    read = [node for node in plan if node.get("Relation Name", "").startswith("user_logins")]
    assert [node["Node Type"] for node in read] == ["Index Scan"]


def test_a_token_is_looked_up_in_the_indexes_of_both_columns(many_rows: Scratch) -> None:
    """The holders of a token, of either generation, are found without reading the table."""
    token = many_rows.value("SELECT masked_ip FROM user_logins LIMIT 1")
    values = {"tokens": [token, uuid.uuid4()], "limit": 10, "fields": ["ip"]}
    plan = list(nodes(many_rows, returned_by(many_rows, "audit_find"), values))
    assert rows_read(plan) < 100
    used = {node["Index Name"] for node in plan if "Index Name" in node}
    assert any("next_masked_ip" in name for name in used)
    assert not any("device_id" in name for name in used)


def test_the_key_of_a_ciphertext_is_inlined(many_rows: Scratch) -> None:
    """Counting by key calls no SQL function for a row."""
    with many_rows.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN VERBOSE SELECT vault_etl.ciphertext_key_id(ip_ciphertext) FROM user_logins"
        )
        plan = "".join(line for (line,) in cursor.fetchall())
    assert "substring" in plan.lower()
    assert "ciphertext_key_id" not in plan


STATUS = {
    "commits": sql_blocks("doctor/status.sql", DEFAULT)["commits"],
    "quarantined_lately": sql_blocks("doctor/status.sql", DEFAULT)["quarantined_lately"],
    "rotations": sql_blocks("doctor/status.sql", DEFAULT)["rotations"],
    "key ages": sql_blocks("keys/keys.sql", DEFAULT)["oldest"],
    "missing_months": sql_blocks("doctor/doctor.sql", DEFAULT)["missing_months"],
}


@pytest.mark.parametrize("section", STATUS)
def test_status_reads_the_end_of_an_index(many_rows: Scratch, section: str) -> None:
    """However many rows, old keys and workers exist, no growing table is read as a whole."""
    later = dt.datetime(2100, 1, 1, tzinfo=dt.UTC)
    values = {
        "today": later,
        "yesterday": later,
        "state": "active",
        "ahead": 3,
        "events": ["user_logins"],
    }
    plan = list(nodes(many_rows, STATUS[section], values))
    assert rows_read(plan) == 0
    read = {node["Relation Name"]: node for node in plan if "Relation Name" in node}
    assert "Seq Scan" not in {
        node["Node Type"]
        for name, node in read.items()
        if name in {"data_keys", "ingest_commits", "quarantine"}
    }
    small = [node for name, node in read.items() if name in {"data_keys", "ingest_commits"}]
    assert all(node["Actual Rows"] <= 6 * WORKERS + 1 for node in small)
