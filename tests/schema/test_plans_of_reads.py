"""Duplicates, erasures and lists read no more of a large table than they must."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.declared import IP
from tests.kit.scratch import Scratch
from vault_etl.declaration.sql import sql_blocks
from vault_etl.reveal.duplicates import SharedTokenQuery
from vault_etl.reveal.postgres_duplicates import PostgresDuplicateFinder

ROWS = 30_000
USERS = 997
KEYS = 5_000
OF_USER_7 = len(range(7, ROWS + 1, USERS))

_FILL = """
INSERT INTO vault_etl.user_logins (
    record_id, user_id, device_type, masked_ip, masked_device_id, ip_ciphertext, device_id_ciphertext,
    token_generation, create_date
)
SELECT overlay(
        overlay(vault_etl.first_record_id(seen)::text PLACING '7' FROM 15 FOR 1)
        PLACING lpad(i::text, 12, '0') FROM 25 FOR 12)::uuid,
    'user ' || i %% %(users)s, 'android', md5((i %% 9000)::text)::uuid, md5((i %% 7000)::text)::uuid,
    '\\x01'::bytea || int4send(1 + i %% %(keys)s) || sha256(i::text::bytea) || '12 bytes ...',
    '\\x01'::bytea || int4send(1 + i %% %(keys)s) || sha256(i::text::bytea) || '12 bytes ...',
    1, (seen AT TIME ZONE 'UTC')::date
FROM generate_series(1, %(rows)s) AS i,
    LATERAL (
        SELECT date_trunc('month', now(), 'UTC') + interval '20 days'
            - make_interval(secs => 3600.0 * 24 * 40 * i / %(rows)s)
    ) AS at (seen);
INSERT INTO vault_etl.data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, state, expires_at)
SELECT i, 'ip', 'a', 'w', '8 bytes!', 'decrypt_only', now() FROM generate_series(1, %(keys)s) AS i
"""


@pytest.fixture(scope="module")
def many_rows(shared: Scratch) -> Scratch:
    """Rows of the forty days before the 21st of this month, so that no month has few of them; and statistics."""
    with shared.connect() as connection, connection.cursor() as cursor:
        cursor.execute(_FILL, {"rows": ROWS, "users": USERS, "keys": KEYS})
        cursor.execute("ANALYZE vault_etl.user_logins, vault_etl.data_keys, vault_etl.value_counts")
        connection.commit()
    return shared


def nodes(
    database: Scratch, role: str, sql: str, values: dict[str, object]
) -> list[dict[str, Any]]:
    """Return the nodes of a plan, with what they did."""
    with database.connect(role) as connection, connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", values)
        (((plan,),),) = cursor.fetchall()
    return list(_all(plan["Plan"]))


def _all(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for below in node.get("Plans", ()):
        yield from _all(below)


def read(plan: list[dict[str, Any]]) -> float:
    """Count the records that the leaves of a plan returned or dropped."""
    found = 0.0
    for node in plan:
        if node.get("Relation Name", "").startswith("user_logins"):
            rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            found += rows * node["Actual Loops"]
    return found


DUPLICATES: dict[str, object] = {
    "min_count": 2,
    "min_users": 1,
    "since": None,
    "until": None,
    "leave_out": [],
    "limit": 5,
}


@pytest.mark.parametrize("users", [1, 2, 1_000])
@pytest.mark.parametrize("field", ["ip", "device_id"])
def test_tokens_are_grouped_in_one_read(many_rows: Scratch, field: str, users: int) -> None:
    """The table is read once, whatever is asked for, even if no token is shared by so many users."""
    sql = sql_blocks("reveal/duplicates.sql", DEFAULT)[f"shared_{field}"]
    assert read(nodes(many_rows, "analyst", sql, {**DUPLICATES, "min_users": users})) == ROWS


def test_months_without_a_day_that_is_asked_for_are_not_read(many_rows: Scratch) -> None:
    """The index on the day decides, whatever the ids are: an event may be of another month than its id."""
    sql = sql_blocks("reveal/duplicates.sql", DEFAULT)["shared_ip"]
    day = many_rows.value("SELECT max(create_date) - 1 FROM user_logins")
    of_a_day = ROWS / 40
    for until in (day, None):
        plan = nodes(many_rows, "analyst", sql, {**DUPLICATES, "since": day, "until": until})
        assert read(plan) < 4 * of_a_day
    assert read(nodes(many_rows, "analyst", sql, {**DUPLICATES, "since": "2200-01-01"})) == 0


def test_a_person_is_told_about_how_many_records_are_read(many_rows: Scratch) -> None:
    """The number is the estimate of the planner, without the months that are left out."""
    since = many_rows.value("SELECT max(create_date) - 1 FROM user_logins")
    with many_rows.database("analyst") as database:
        finder = PostgresDuplicateFinder(database, DEFAULT)
        for query, records in (
            (SharedTokenQuery(field=IP, limit=5), ROWS),
            (SharedTokenQuery(field=IP, limit=5, since=since), 2 * ROWS / 40),
        ):
            assert finder.records(query) == pytest.approx(records, rel=0.5)


@pytest.mark.parametrize(
    "condition", ["r.user_id = %(user)s", "r.user_id = %(user)s AND num_nonnulls(r.masked_ip) > 0"]
)
def test_records_of_a_user_have_an_index(many_rows: Scratch, condition: str) -> None:
    """`erase --user-id` and `find --user-id` use it."""
    sql = f"SELECT count(*) FROM vault_etl.user_logins AS r WHERE {condition}"  # noqa: S608
    assert read(nodes(many_rows, "admin", sql, {"user": "user 7"})) == OF_USER_7


def test_an_erasure_of_a_user_reads_that_users_rows(many_rows: Scratch) -> None:
    """Read from what the server counts of rows that the functions read in sequence."""
    scans = "SELECT coalesce(sum(seq_tup_read), 0) FROM pg_stat_xact_user_tables WHERE relname LIKE 'user_logins%'"
    with many_rows.connect() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT matching FROM vault_etl.erase_preview(NULL, 'user 7')")
        assert cursor.fetchone() == (OF_USER_7,)
        cursor.execute(scans)
        assert cursor.fetchone() == (0,)


@pytest.mark.parametrize(
    ("role", "file", "name"),
    [("rotate", "keys/keys.sql", "usage"), ("re-encrypt", "rotation/reencrypt.sql", "remaining")],
)
def test_lists_and_remainders_read_no_record(
    many_rows: Scratch, role: str, file: str, name: str
) -> None:
    """Lists of thousands of keys use the kept counts."""
    scans = (
        "SELECT coalesce(sum(seq_scan + coalesce(idx_scan, 0)), 0) FROM pg_stat_xact_user_tables"
    )
    values = {"counted": False, "fields": ["ip"], "old_keys": list(range(1, KEYS))}
    with many_rows.connect(role) as connection, connection.cursor() as cursor:
        cursor.execute(sql_blocks(file, DEFAULT)[name], values)
        assert cursor.rowcount in {1, KEYS}
        cursor.execute(f"{scans} WHERE relname LIKE 'user_logins%'")
        assert cursor.fetchone() == (0,)


def test_the_end_of_a_generation_reads_the_records_once_for_a_proof(many_rows: Scratch) -> None:
    """The kept counts say how many old tokens are left. A page is so many rows, wherever old tokens are."""
    needs = "SELECT tokens, next_tokens FROM vault_etl.needs_of_generation(%s::smallint, %s)"
    read = "SELECT coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0) FROM pg_stat_xact_user_tables"
    read += " WHERE relname LIKE 'user_logins%'"
    clear = "SELECT last FROM vault_etl.clear_old_tokens(7::smallint, %s, 100)"
    with many_rows.connect("rotate") as connection, connection.cursor() as cursor:
        cursor.execute(needs, (7, False))
        assert cursor.fetchone() == (0, 0)
        cursor.execute(read)
        assert cursor.fetchone() == (0,)
        cursor.execute(needs, (7, True))
        cursor.execute(read)
        assert cursor.fetchone() == (ROWS,)
    with many_rows.connect("rotate") as connection, connection.cursor() as cursor:
        last = None
        for _ in range(10):  # more than the first plans, which are made for the values at hand
            cursor.execute(clear, (last,))
            ((last,),) = cursor.fetchall()
            assert last is not None
        cursor.execute(read)
        ((found,),) = cursor.fetchall()
        assert found < 10 * 100 * 2
