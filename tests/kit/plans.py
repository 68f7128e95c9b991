"""Plans of statements: their nodes, rows and pages read, and parameters for statements of rotations."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from psycopg2.extensions import cursor

from tests.kit.declarations import DEFAULT
from tests.kit.scratch import Scratch
from vault_etl.declaration.sql import sql_blocks

ROWS = 20_000
PAGE = 500
OLD_KEYS = 10_000
WORKERS = 64
_FILL = """
INSERT INTO vault_etl.user_logins (
    record_id, user_id, device_type, masked_ip, masked_device_id, next_masked_ip, next_masked_device_id,
    ip_ciphertext, device_id_ciphertext, token_generation, next_token_generation, create_date
)
SELECT overlay(
        overlay(vault_etl.first_record_id(
            date_trunc('month', now(), 'UTC') + interval '20 days'
                - make_interval(secs => 3600.0 * 24 * 40 * i / %(rows)s)
        )::text PLACING '7' FROM 15 FOR 1)
        PLACING lpad(i::text, 12, '0') FROM 25 FOR 12)::uuid,
    'user ' || i, 'android', md5((i %% 900)::text)::uuid, md5((i %% 700)::text)::uuid,
    md5('next' || i %% 900)::uuid, md5('next' || i %% 700)::uuid,
    '\\x0100000007'::bytea || sha256(i::text::bytea) || '12 bytes ...',
    '\\x0100000008'::bytea || sha256(i::text::bytea) || '12 bytes ...',
    1, 2, current_date
FROM generate_series(1, %(rows)s) AS i;
INSERT INTO vault_etl.quarantine (record_id, reason_code, path, body_ciphertext)
SELECT overlay(vault_etl.first_record_id(now())::text PLACING lpad(i::text, 12, '0') FROM 25 FOR 12)::uuid,
    'not_json', '$',
    '\\x0100000009'::bytea || decode(repeat('00', 44), 'hex')
FROM generate_series(1, %(rows)s) AS i;
INSERT INTO vault_etl.ingest_commits (minute, login, pid, messages, committed_at)
SELECT date_trunc('minute', now()) - make_interval(mins => 60 - m), 'a', w, 1000, now() - make_interval(mins => 60 - m)
FROM generate_series(1, 60) AS m, generate_series(1, %(workers)s) AS w;
INSERT INTO vault_etl.data_keys (key_id, field, kms_key_arn, wrapped_key, fingerprint, state, expires_at)
SELECT i, (ARRAY['ip', 'device_id', 'quarantine'])[1 + i %% 3], 'a', 'w', '8 bytes!', 'decrypt_only', now()
FROM generate_series(100, 99 + %(keys)s) AS i;
INSERT INTO vault_etl.data_keys (key_id, purpose, field, generation, kms_key_arn, wrapped_key, fingerprint, state)
VALUES (1, 'token', 'ip', 1, 'a', 'w', '8 bytes!', 'active'), (2, 'token', 'ip', 3, 'a', 'w', '8 bytes!', 'pending')
"""


def fill(database: Scratch) -> None:
    """Store `ROWS` rows, as many in quarantine, `OLD_KEYS` keys, and statistics.

    The ids are of the forty days before the 21st of this month, so that no month has few rows.
    """
    with database.connect() as connection, connection.cursor() as cursor:
        cursor.execute(_FILL, {"rows": ROWS, "keys": OLD_KEYS, "workers": WORKERS})
        cursor.execute(
            "ANALYZE vault_etl.user_logins, vault_etl.quarantine, vault_etl.data_keys, vault_etl.ingest_commits"
        )
        connection.commit()


def nodes(
    database: Scratch,
    statement: str,
    values: Mapping[str, object],
    before: Callable[[cursor], object] = lambda _: None,
) -> Iterator[dict[str, Any]]:
    """Return the nodes of a plan, with what they did. Roll back the statement and what came before."""
    with database.connect("re-encrypt") as connection, connection.cursor() as opened:
        before(opened)
        opened.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
        (((plan,),),) = opened.fetchall()
    found = [plan["Plan"]]
    for node in found:
        found += node.get("Plans", [])
    yield from found


def rows_read(plan: Iterable[dict[str, Any]]) -> float:
    """Count the rows of records or of quarantine that the leaves of a plan returned or dropped."""
    read = 0.0
    for node in plan:
        if node["Node Type"] != "ModifyTable" and node.get("Relation Name", "").startswith(
            ("user_logins", "quarantine")
        ):
            rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            read += rows * node["Actual Loops"]
    return read


def returned_by(database: Scratch, function: str) -> str:
    """Return the first query over records whose rows a function returns, with parameters for its variables."""
    source = database.value("SELECT prosrc FROM pg_catalog.pg_proc WHERE proname = %s", function)
    queries = re.findall(r"RETURN QUERY\s+((?:SELECT|WITH).*?);", source, re.DOTALL)
    statement: str = next(query for query in queries if "vault_etl.user_logins" in query)
    for variable, parameter in (
        (r"\bentry\.record_id\b", "%(record_id)s::uuid"),
        (r"\bentry\.fields\b", "%(fields)s::text[]"),
        (r"\btokens\b", "%(tokens)s::uuid[]"),
        (r"\bmax_ids\b", "%(limit)s::integer"),
        (r"\beach_has\b", "cardinality(%(tokens)s::uuid[])"),
    ):
        statement = re.sub(variable, parameter, statement)
    return statement


def row_ids(database: Scratch, table: str, start: int, count: int) -> list[uuid.UUID]:
    """Return so many record ids, from a place of the table on."""
    statement = f"SELECT record_id FROM {table} ORDER BY 1 OFFSET %s LIMIT %s"  # noqa: S608
    return [record_id for (record_id,) in database.sql(statement, start, count)]


def whole_range(database: Scratch, table: str, start: int | None) -> dict[str, object]:
    """Make a range of all rows, of which some are done already."""
    (first,), (last,) = row_ids(database, table, 0, 1), row_ids(database, table, ROWS - 1, 1)
    after = None if start is None else row_ids(database, table, start - 1, 1)[0]
    return {"first": first, "last": last, "after": after}


def staged(file: str, *columns: str) -> Callable[[cursor], object]:
    """Put a page from the middle of the table into the stage of a statement."""

    def stage(opened: cursor) -> None:
        opened.execute(sql_blocks(file, DEFAULT)["make_stage_user_logins"])
        opened.execute(
            f"INSERT INTO {re.findall(r'stage_[0-9a-z_]+', sql_blocks(file, DEFAULT)['make_stage_user_logins'])[0]}"  # noqa: S608
            f" SELECT record_id, {', '.join(columns)} FROM user_logins"
            " ORDER BY record_id OFFSET %s LIMIT %s",
            (ROWS // 2, PAGE),
        )

    return stage


def pages(opened: cursor, statement: str, values: Mapping[str, Any]) -> tuple[int, set[str]]:
    """Pages that a statement reads and writes, with all that its functions do; and which functions it calls."""
    opened.execute("SET LOCAL track_functions = 'all'")
    opened.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values)
    (((plan,),),) = opened.fetchall()
    opened.execute("SELECT funcname::text FROM pg_stat_xact_user_functions")
    called = {name for (name,) in opened.fetchall()}
    opened.connection.commit()
    used = plan["Plan"]
    return sum(
        used[f"{kind} Blocks"]
        for kind in ("Shared Hit", "Shared Read", "Temp Read", "Temp Written")
    ), called
