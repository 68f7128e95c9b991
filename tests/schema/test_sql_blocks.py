"""Every named block of SQL is used, and runs on a migrated database under the role that runs it."""

from __future__ import annotations

import datetime as dt
import functools
import io
import re
import uuid
from pathlib import Path

import psycopg2
import pytest

import vault_etl
from tests.kit.block_roles import RUN_BY
from tests.kit.declarations import DEFAULT
from tests.kit.scratch import Scratch
from vault_etl.declaration.sql import sql_blocks
from vault_etl.platform.postgres_copy import copy_binary

PACKAGE = Path(vault_etl.__file__).parent


UUID = uuid.UUID(int=1)
VALUES: dict[str, object] = {
    "messages": 1,
    "newest_sent": None,
    **{name: ["x"] for name in ("relations", "functions", "roles")},
    **dict.fromkeys(("request_id", "record_id", "first", "last"), UUID),
    **dict.fromkeys(("rotation_id", "claim"), UUID),
    **dict.fromkeys(("active", "pending"), 1),
    **{name: [UUID] for name in ("firsts", "lasts", "ends", "starts", "leave_out")},
    **dict.fromkeys(("event", "place"), "user_logins"),
    "every_row": False,
    "allow_publication": False,
    **dict.fromkeys(("partition", "version"), "x"),
    **dict.fromkeys(("manifest_sha256", "location"), None),
    "tables": ["1"],
    "table": "vault_etl.user_logins",
    **dict.fromkeys(("name", "checksum", "filled_to"), "x"),
    "pid": 1,
    "end": UUID,
    "day": dt.date(2026, 1, 1),
    "keys": "[]",
    **{name: ["user_logins"] for name in ("places", "events")},
    **dict.fromkeys(("done", "recorded"), False),
    "old_keys": [1],
    **dict.fromkeys(
        (
            "seq",
            "signed_seq",
            "generation",
            "ahead",
            "min_count",
            "min_users",
            "limit",
            "bytes",
            "key_id",
        ),
        1,
    ),
    **dict.fromkeys(("phase", "actor", "host", "action", "purpose", "ticket"), "x"),
    **dict.fromkeys(("reason", "decision", "error_code", "field", "kms_key_arn", "state"), "x"),
    "old_kms_key_arn": "x",
    "location": "x",
    **dict.fromkeys(("first_seq", "last_seq"), 1),
    **dict.fromkeys(("prev_hash", "last_hash", "manifest_sha256"), b"8 bytes!"),
    "amount": None,
    "old_wrapped_key": b"8 bytes!",
    **dict.fromkeys(("note", "document"), "x"),
    **dict.fromkeys(
        (
            "wrapped_key",
            "fingerprint",
            "hash",
            "public_key",
            "digest",
            "nonce",
            "key_hash",
            "signature",
        ),
        b"8 bytes!",
    ),
    **{name: ["x"] for name in ("fields", "reasons", "paths")},
    **{name: [b"x"] for name in ("fingerprints", "old", "new", "bodies")},
    "record_ids": [UUID],
    "only": [UUID],
    "receives": [1],
    **dict.fromkeys(
        ("since", "after_time", "today", "yesterday"), dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    ),
    **dict.fromkeys(("reason_code", "source"), "x"),
    "sources": [UUID],
    "queues": ["logins"],
    **dict.fromkeys(("after_id", "month_id"), UUID),
    "wanted": "2026-01",
    "partitions": [1],
    "roles": ["vault_etl_reveal"],
    "key_ids": [1],
    "generations": [1],
    "expired": False,
    "counted": False,
    "rows": 1,
    **dict.fromkeys(("lease", "older_than"), dt.timedelta(hours=1)),
    "login": "x",
    **dict.fromkeys(("blamed", "pairs"), 3),
    "since": dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
    "until": dt.date(2026, 1, 31),
    "user_id": None,
    "tokens": [UUID],
    **dict.fromkeys(("load_id", "source_id"), UUID),
    **dict.fromkeys(("known_by", "digest"), bytes(32)),
    "lines": 1,
    "agreed": [1],
    "declaration": bytes(32),
    "event": "user_logins",
    "is_admitting": True,
    "set_id": UUID,
    "old_sha256": bytes(32),
    "number": 1,
    "counts": "[]",
    "erasures": [1],
}

CASES = [
    pytest.param(file, name, role, id=f"{name}-{role}")
    for file, by_name in RUN_BY.items()
    for name, roles in by_name.items()
    for role in roles
]


def test_the_table_is_complete() -> None:
    """tests/kit/block_roles.py lists every file and every block in it, and nothing else."""
    files = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.sql")]
    there = {name: set(sql_blocks(name, DEFAULT)) for name in files}
    assert {file: set(by_name) for file, by_name in RUN_BY.items()} == there


@functools.cache
def sources() -> dict[Path, str]:
    """The text of each module that asks for blocks."""
    texts = {path: path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")}
    return {path: text for path, text in texts.items() if "blocks(" in text}


@pytest.mark.parametrize("file", RUN_BY)
def test_every_block_is_used_and_every_use_exists(file: str) -> None:
    """The adapters ask for exactly the blocks that a file has."""
    used = set()
    for path, code in sources().items():
        for variable in re.findall(
            rf'(\w+)(?:: Final)? = (?:sql_)?blocks\("{re.escape(file)}"', code
        ):
            for key in re.findall(rf'{variable}\[f?"([^"]+)"\]', code):
                pattern = re.compile(re.sub(r"\{[^}]*\}", r"[\\w/]+", key))
                matching = {name for name in RUN_BY[file] if pattern.fullmatch(name)}
                assert matching, f"{path.name} uses {key}"
                used |= matching
    assert used == set(RUN_BY[file])


@pytest.mark.parametrize(("file", "name", "role"), CASES)
def test_a_block_runs_under_its_role(shared: Scratch, file: str, name: str, role: str) -> None:
    """Queries are planned with the rights of the role checked, procedures are found, and the rest is run."""
    sql = sql_blocks(file, DEFAULT)[name]
    with shared.connect(role) as connection, connection.cursor() as cursor:
        if name in {"copy_stage_user_logins", "replace_user_logins", "fill_user_logins"}:
            cursor.execute(sql_blocks(file, DEFAULT)["make_stage_user_logins"])
        if name == "rollback_to_savepoint":
            cursor.execute(sql_blocks(file, DEFAULT)["savepoint"])
        if name == "store_user_logins":
            cursor.execute(sql_blocks("rotation/tokens.sql", DEFAULT)["make_stage_user_logins"])
        if name == "make_table":
            cursor.execute("DROP SCHEMA vault_etl CASCADE")
        after = 0 if file == "audit/audit.sql" or name == "about" else UUID
        month = dt.date(2026, 1, 1) if name == "ensure_month" else 1  # a day of it, or a number
        named = {**VALUES, "after": after, "month": month}
        if name.startswith("copy_"):
            cursor.copy_expert(sql, io.BytesIO(copy_binary([])))
        elif re.match(r"(--[^\n]*\n)*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", sql):
            positional = ("name", "checksum") if "(%s" in sql else None
            cursor.execute("EXPLAIN " + sql, positional or named)
            assert cursor.fetchall()
        elif re.match(r"(--[^\n]*\n)*CALL\b", sql):
            # Found, and allowed: its first COMMIT is refused in this transaction.
            with pytest.raises(psycopg2.errors.InvalidTransactionTermination):
                cursor.execute(sql, named)
        else:
            cursor.execute(sql)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("rotation/reencrypt.sql", "remaining_user_logins"),
        ("keys/keys.sql", "add_data_key"),
        ("reveal/reveal.sql", "disclose"),
    ],
)
def test_planning_checks_rights(shared: Scratch, file: str, name: str) -> None:
    """EXPLAIN is denied to a role that may not run the statement, which the test above relies on."""
    with (
        shared.connect("analyst") as connection,
        connection.cursor() as cursor,
        pytest.raises(Exception, match="permission denied"),
    ):
        cursor.execute("EXPLAIN " + sql_blocks(file, DEFAULT)[name], VALUES)
