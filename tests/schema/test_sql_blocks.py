"""Every named block of SQL is used, and runs on a migrated database under the role that runs it."""

from __future__ import annotations

import datetime as dt
import io
import re
import uuid
from pathlib import Path

import psycopg2
import pytest

import vault_etl
from tests.kit.scratch import Scratch
from tests.kit.vault import ROLES
from vault_etl.platform.postgres_copy import copy_binary
from vault_etl.platform.resources import blocks

PACKAGE = Path(vault_etl.__file__).parent

RE_ENCRYPT = ("re-encrypt",)
ROTATE = ("rotate", "re-encrypt")
SIGNERS = ("reveal", *ROTATE, "erase", "audit")

# Which roles run a block. A block that is not here fails the first test below.
RUN_BY: dict[str, dict[str, tuple[str, ...]]] = {
    "audit/audit.sql": {
        "acts_as": ("reveal", *ROTATE),
        "append": ("reveal", *ROTATE),
        "entries": ("audit",),
        **dict.fromkeys(("before_the_newest", "before_a_time"), ("audit",)),
        "last_trimmed": ("audit", "reveal"),
    },
    "audit/checkpoints.sql": {
        "signer": SIGNERS,
        "store": SIGNERS,
        "register": ("audit",),
        "head": ("audit",),
    },
    "partitions/partitions.sql": dict.fromkeys(
        (
            *("list", "ensure", "reopen", "close", "open", "has_default"),
            *("detach", "misfits", "prepare", "attach", "drop"),
        ),
        ("admin",),
    ),
    "audit/owner.sql": {
        **dict.fromkeys(("act_as_owner", "freeze", "entry", "set_policy"), ("admin",)),
        "allowance": ("reveal", "audit", "admin"),
    },
    "platform/lock_watch.sql": {"blockers": ("admin",)},
    "records/months.sql": {"away": ("reveal", "re-encrypt", "erase", "audit", "analyst")},
    "partitions/archives.sql": dict.fromkeys(
        (
            *("patience", "begin", "record", "drop", "make", "restored"),
            *("lost_keys", "active_generation"),
        ),
        ("admin",),
    ),
    "audit/proof.sql": dict.fromkeys(
        (
            "freeze",
            "vaults",
            "heads",
            "bound",
            "wrong_amounts",
            "unexplained",
            "log",
            "ends",
            "segments",
            "checkpoints",
        ),
        ("audit",),
    ),
    "audit/segments/trim.sql": dict.fromkeys(("kept", "add", "delete"), ("admin",)),
    "doctor/doctor.sql": {
        **dict.fromkeys(
            (
                *("server", "log_settings", "fence_bytes", "missing_months", "detached"),
                *("archives", "slots"),
            ),
            ROLES,
        ),
        "wrappings": ("ingest", "reveal", "audit", *ROTATE),
        "turn": ("audit",),
        **dict.fromkeys(("miscounted", "token_generations"), ("audit", *ROTATE)),
        **dict.fromkeys(("registrations", "checkpoints", "unsigned"), ("audit",)),
    },
    "platform/replica.sql": dict.fromkeys(("identity", "position", "migrations"), ROLES),
    "doctor/status.sql": {
        "commits": ("ingest", "audit", "analyst", *ROTATE),
        "sessions": ROLES,
        "quarantined_lately": ("reveal", "audit", *RE_ENCRYPT),
        "rotations": ("audit", *ROTATE),
    },
    "doctor/logins.sql": dict.fromkeys(("rights", "mixed_logins", "odd_members"), ROLES),
    "schema/schema.sql": dict.fromkeys(("facts", "rows"), ROLES),
    "schema/schema_around.sql": {"facts": ROLES},
    "reveal/duplicates.sql": {"shared_ip": ("analyst",), "shared_device_id": ("analyst",)},
    "erase/erase.sql": dict.fromkeys(("preview", "erase"), ("erase",)),
    "quarantine/discard.sql": dict.fromkeys(
        ("quarantine_matching", "quarantine_discard"), ("erase",)
    ),
    "ingest/sources/file_sources.sql": dict.fromkeys(("find", "reached", "loaded"), ("ingest",)),
    "keys/destroy.sql": dict.fromkeys(
        (
            *("needs_of_data_key", "needs_of_generation"),
            *("retire_expired", "destroy", "clear_old_tokens"),
        ),
        ROTATE,
    ),
    "keys/keys.sql": {
        "keys_by_id": ("reveal", *ROTATE),
        "token_keys": ("ingest", "reveal", *RE_ENCRYPT),
        "field_token_keys": ("reveal", *ROTATE),
        "source_key": ("ingest",),
        "add_data_key": ("ingest", *RE_ENCRYPT),
        "limit_fence": ROTATE,
        "close_fence": ROTATE,
        "add_first_keys": RE_ENCRYPT,
        "unexplained": ("ingest", "reveal", "audit", *ROTATE),
        "retire_data_keys": ROTATE,
        "oldest": ("ingest", "reveal", "audit", *ROTATE),
        "usage": ("audit", *ROTATE),
        "live_key_ids": ROTATE,
        "swap_wrapped_key": ROTATE,
    },
    "schema/adoption.sql": dict.fromkeys(
        (*("in_the_way", "closed_schema", "table_of_logins", "hold", "move", "show_both"),),
        ("admin",),
    ),
    "schema/migrations.sql": dict.fromkeys(
        (
            *("lock", "limit_waits", "pid", "server", "act_as_login", "act_as_owner"),
            *("exists", "hold", "is_plain", "applied", "make_table", "record", "table_bytes"),
        ),
        ("admin",),
    ),
    "schema/online.sql": dict.fromkeys(
        (
            *(
                "one_at_a_time",
                "who_is_at_it",
                "begin",
                "is_done",
                "finish",
                "filled_to",
                "fill_to",
            ),
            *("tables", "indexes", "constraints", "primary_key", "activity"),
        ),
        ("admin",),
    ),
    "quarantine/quarantine.sql": {
        "rows": ("reveal",),
        "before_the_newest": ("reveal",),
        "counts": ("reveal", *RE_ENCRYPT),
        "row": ("reveal",),
        "bodies": RE_ENCRYPT,
        "lock_bodies": RE_ENCRYPT,
        "delete_rows": RE_ENCRYPT,
    },
    "reveal/reveal.sql": dict.fromkeys(
        ("disclose", "search", "find", "find_user", "about"), ("reveal",)
    ),
    "rotation/rotation.sql": {
        "open": ROTATE,
        **dict.fromkeys(
            (
                *("old_data_keys", "next_generation", "token_keys_by_state", "add_pending_keys"),
                *("abort", "add_rotation", "end_rotation"),
                *("bounds", "quarantine_bounds", "add_ranges", "claim_range", "unfinished_ranges"),
                *("move_range", "release_range", "reopen_ranges"),
            ),
            RE_ENCRYPT,
        ),
    },
    "rotation/detached.sql": dict.fromkeys(
        ("find", "generations", "begin", "open", "add", "go_through_again", "page", "store"),
        RE_ENCRYPT,
    ),
    "rotation/reencrypt.sql": dict.fromkeys(
        (
            *("page_user_logins", "page_quarantine", "make_stage", "copy_stage"),
            *("replace_user_logins", "replace_quarantine", "left_user_logins", "left_quarantine"),
            "left",
        ),
        RE_ENCRYPT,
    ),
    "rotation/tokens.sql": dict.fromkeys(
        (
            *("page", "make_stage", "copy_stage", "fill", "named", "freeze", "map_ip"),
            *(
                "map_device_id",
                "missing",
                "blamed",
                "left_out",
                "unequal_ip",
                "unequal_device_id",
                "sample",
                "count",
            ),
            *(
                "cut_over",
                "lock_holders",
                "dependents",
                "publications",
                "partitions",
                "count_named",
            ),
        ),
        RE_ENCRYPT,
    ),
    "records/records.sql": {
        "lock_fence": ("ingest", *ROTATE),
        "probe": ("ingest",),
        "read_fence": ("ingest", *ROTATE),
        "make_stage": ("ingest", *RE_ENCRYPT),
        "copy_stage": ("ingest", *RE_ENCRYPT),
        "insert_records": ("ingest", *RE_ENCRYPT),
        "in_closed_months": ("ingest",),
        "insert_rejections": ("ingest",),
        "committed": ("ingest",),
        "ensure_partition": ("ingest", *RE_ENCRYPT),
        "ensure_month": ("ingest", *RE_ENCRYPT),
        "fold_counts": ("ingest", *RE_ENCRYPT),
        "ranges": ("ingest", *RE_ENCRYPT),
    },
}

UUID = uuid.UUID(int=1)
VALUES: dict[str, object] = {
    "messages": 1,
    "newest_sent": None,
    **{name: ["x"] for name in ("relations", "functions", "roles")},
    **dict.fromkeys(("request_id", "record_id", "first", "last"), UUID),
    **dict.fromkeys(("rotation_id", "claim"), UUID),
    **dict.fromkeys(("active", "pending"), 1),
    **{name: [UUID] for name in ("firsts", "lasts", "ends", "starts", "leave_out")},
    "place": "user_logins",
    "every_row": False,
    "allow_publication": False,
    **dict.fromkeys(("partition", "version"), "x"),
    **dict.fromkeys(("manifest_sha256", "location"), None),
    "tables": ["1"],
    "table": "public.user_logins",
    **dict.fromkeys(("name", "checksum", "filled_to"), "x"),
    "pid": 1,
    "end": UUID,
    "day": dt.date(2026, 1, 1),
    "keys": "[]",
    "places": ["user_logins"],
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
    **dict.fromkeys(("after_id", "month_id"), UUID),
    "wanted": "2026-01",
    "partitions": [1],
    "roles": ["vault_etl_reveal"],
    "key_ids": [1],
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
}

CASES = [
    pytest.param(file, name, role, id=f"{name}-{role}")
    for file, by_name in RUN_BY.items()
    for name, roles in by_name.items()
    for role in roles
]


def test_the_table_is_complete() -> None:
    """The table above lists every file and every block in it, and nothing else."""
    files = [path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.sql")]
    there = {name: set(blocks(name)) for name in files}
    assert {file: set(by_name) for file, by_name in RUN_BY.items()} == there


@pytest.mark.parametrize("file", RUN_BY)
def test_every_block_is_used_and_every_use_exists(file: str) -> None:
    """The adapters ask for exactly the blocks that a file has."""
    used = set()
    for path in PACKAGE.rglob("*.py"):
        code = path.read_text(encoding="utf-8")
        for variable in re.findall(rf'(\w+): Final = blocks\("{re.escape(file)}"\)', code):
            for key in re.findall(rf'{variable}\[f?"([^"]+)"\]', code):
                pattern = re.compile(re.sub(r"\{[^}]*\}", r"\\w+", key))
                matching = {name for name in RUN_BY[file] if pattern.fullmatch(name)}
                assert matching, f"{path.name} uses {key}"
                used |= matching
    assert used == set(RUN_BY[file])


@pytest.mark.parametrize(("file", "name", "role"), CASES)
def test_a_block_runs_under_its_role(shared: Scratch, file: str, name: str, role: str) -> None:
    """Queries are planned with the rights of the role checked, procedures are found, and the rest is run."""
    sql = blocks(file)[name]
    with shared.connect(role) as connection, connection.cursor() as cursor:
        if name in {"copy_stage", "insert_records", "replace_user_logins", "fill"}:
            cursor.execute(blocks(file)["make_stage"])
        if (file, name) == ("rotation/detached.sql", "store"):
            cursor.execute(blocks("rotation/tokens.sql")["make_stage"])
        if name == "make_table":
            cursor.execute("DROP TABLE public.vault_etl_migrations")
        if name == "show_both":
            cursor.execute(blocks(file)["move"])
        after = 0 if file == "audit/audit.sql" or name == "about" else UUID
        month = dt.date(2026, 1, 1) if name == "ensure_month" else 1  # a day of it, or a number
        named = {**VALUES, "after": after, "month": month}
        if name == "copy_stage":
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
        ("rotation/reencrypt.sql", "left_user_logins"),
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
        cursor.execute("EXPLAIN " + blocks(file)[name], VALUES)
