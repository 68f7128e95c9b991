"""What the planner makes of our statements on a table that is not empty."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.postgres.scratch import Scratch
from vault_etl.adapters.sql import blocks

ROWS = 20_000
PAGE = 500

_FILL = """
INSERT INTO public.user_logins (
    record_id, user_id, device_type, masked_ip, masked_device_id, ip_ciphertext,
    device_id_ciphertext, token_generation, create_date
)
SELECT overlay(
        overlay(public.first_record_id(now() - make_interval(secs => 3600.0 * 24 * 40 * i / %(rows)s))::text
            PLACING '7' FROM 15 FOR 1)
        PLACING lpad(i::text, 12, '0') FROM 25 FOR 12)::uuid,
    'user ' || i, 'android', md5((i %% 900)::text)::uuid, md5((i %% 700)::text)::uuid,
    '\\x0100000007'::bytea || sha256(i::text::bytea), '\\x0100000008'::bytea || sha256(i::text::bytea),
    1, current_date
FROM generate_series(1, %(rows)s) AS i
"""


@pytest.fixture(scope="module")
def filled(shared: Scratch) -> Scratch:
    """Twenty thousand rows of forty days, and statistics of them."""
    with shared.connect() as connection, connection.cursor() as cursor:
        cursor.execute(_FILL, {"rows": ROWS})
        cursor.execute("ANALYZE public.user_logins")
        connection.commit()
    return shared


def nodes(database: Scratch, statement: str, values: dict[str, object]) -> Iterator[dict[str, Any]]:
    """The nodes of a plan, with what they did."""
    with database.connect("re-encrypt") as connection, connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", values)
        (((plan,),),) = cursor.fetchall()
    found = [plan["Plan"]]
    for node in found:
        found += node.get("Plans", [])
    yield from found


def rows_read(plan: list[dict[str, Any]]) -> float:
    """Rows that the leaves of a plan gave or threw away."""
    read = 0.0
    for node in plan:
        if "Relation Name" in node:
            rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            read += rows * node["Actual Loops"]
    return read


@pytest.mark.parametrize("field", ["ip", "device_id"])
@pytest.mark.parametrize("start", [None, ROWS // 2])
def test_a_page_reads_a_page(filled: Scratch, field: str, start: int | None) -> None:
    """A page of values to seal anew is read from the primary key, and no further than it goes."""
    after = None
    if start is not None:
        after = filled.value(
            "SELECT record_id FROM user_logins ORDER BY 1 OFFSET %s LIMIT 1", start
        )
    values = {"after": after, "key_ids": [7, 8], "limit": PAGE}
    plan = list(nodes(filled, blocks("keys.sql")[f"sealed_under_{field}"], values))
    assert not [node for node in plan if "Sort" in node["Node Type"]]
    assert rows_read(plan) <= PAGE


def test_a_swap_reads_its_rows(filled: Scratch) -> None:
    """A batch of swaps touches the stretch of the table where its records are, not the table."""
    rows = filled.sql(
        "SELECT record_id, ip_ciphertext FROM user_logins ORDER BY 1 OFFSET 999 LIMIT %s", PAGE
    )
    ids = [row[0] for row in rows]
    old = [bytes(row[1]) for row in rows]
    values = {"record_ids": ids, "old": old, "new": old, "first": ids[0], "last": ids[-1]}
    plan = list(nodes(filled, blocks("keys.sql")["replace_ip"], values))
    assert rows_read([n for n in plan if n["Node Type"] != "ModifyTable"]) <= 2 * PAGE


def test_a_record_is_found_in_one_partition(filled: Scratch) -> None:
    """Looking a record up by its id opens the one partition that its id names."""
    record_id: uuid.UUID = filled.value("SELECT record_id FROM user_logins LIMIT 1")
    plan = list(nodes(filled, blocks("audit.sql")["record"], {"record_id": record_id}))
    assert [node["Node Type"] for node in plan] == ["Index Scan"]


def test_a_token_is_looked_up_in_the_indexes_of_both_columns(filled: Scratch) -> None:
    """Who holds a token, of whatever generation, is found without reading the table."""
    token = filled.value("SELECT masked_ip FROM user_logins LIMIT 1")
    values = {"tokens": [token, uuid.uuid4()], "limit": 10}
    plan = list(nodes(filled, blocks("find.sql")["holding_ip"], values))
    assert rows_read(plan) < 100
    used = {node["Index Name"] for node in plan if node["Node Type"] == "Bitmap Index Scan"}
    assert any("next_masked_ip" in name for name in used)


def test_the_key_of_a_ciphertext_is_inlined(filled: Scratch) -> None:
    """Counting by key calls no SQL function a row."""
    with filled.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            "EXPLAIN VERBOSE SELECT public.ciphertext_key_id(ip_ciphertext) FROM user_logins"
        )
        plan = "".join(line for (line,) in cursor.fetchall())
    assert "substring" in plan.lower()
    assert "ciphertext_key_id" not in plan
