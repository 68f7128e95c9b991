"""Transactions that block a cut-over, and attempts to cut over beside these transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

from psycopg2.extensions import connection

from tests.kit.cut_over import Ready
from tests.kit.months import with_months
from tests.kit.scratch import Scratch
from vault_etl.platform.waiting import Blocked
from vault_etl.rotation.token_keys import CutOverDone

EVERY_TABLE = "user_logins_masked, user_logins, key_fence, data_keys, audit_head, audit_log"

FENCE = ("ingest", "LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE")

ENTRY = (
    "SELECT vault_etl.audit_append(gen_random_uuid(), 'intent', 'a', 'h', 'reveal', NULL, '{}', NULL,"
    " NULL, 'r', 'denied', 'x')"
)

LOG = ("admin", ENTRY)

VIEW = ("admin", "COMMENT ON VIEW user_logins_masked IS 'the view, and nothing below it'")

TABLE = ("admin", "LOCK TABLE ONLY user_logins IN ACCESS SHARE MODE")

PARTITION = ("admin", "SELECT count(*) FROM <month -1>")

LAST_PARTITION = ("admin", "SELECT count(*) FROM <month 3>")

QUERY = ("analyst", "SELECT count(*) FROM vault_etl.user_logins_masked")

DUMP = ("admin", f"LOCK TABLE {EVERY_TABLE} IN ACCESS SHARE MODE")

KEY = ("admin", "UPDATE data_keys SET kms_key_arn = 'b' WHERE state = 'pending'")

RANGE = ("re-encrypt", "UPDATE rotation_ranges SET done = done")

BLOCKERS = {
    "an open batch": FENCE,
    "an entry that is not committed": LOG,
    "who changes the view": VIEW,
    "a query": QUERY,
    "the table alone": TABLE,
    "a partition": PARTITION,
    "the last partition": LAST_PARTITION,
    "a dump": DUMP,
    "a key's row": KEY,
    "an old key's row": ("admin", "UPDATE data_keys SET kms_key_arn = 'b' WHERE state = 'active'"),
    "a range": RANGE,
}


@contextmanager
def blocking(vault: Ready, blocker: tuple[str, str]) -> Iterator[connection]:
    """A session that has run a statement, and keeps its transaction open."""
    role, statement = blocker
    with vault.scratch.connect(role) as opened, opened.cursor() as cursor:
        cursor.execute(with_months(statement))
        yield opened
        opened.rollback()


@contextmanager
def seen_waiting(scratch: Scratch) -> Iterator[Callable[[], set[str]]]:
    """Yield a function that names the locks the cut-over waits for: a relation, or a locked row."""
    with scratch.connect() as opened, opened.cursor() as cursor:
        opened.autocommit = True

        def waiting() -> set[str]:
            cursor.execute(
                "SELECT coalesce(l.relation::regclass::text, l.locktype) FROM pg_locks AS l"
                " JOIN pg_stat_activity AS a USING (pid) WHERE NOT l.granted"
                " AND a.usename = 'test_re_encrypt' AND a.datname = current_database()"
            )
            return {what for (what,) in cursor.fetchall()}

        yield waiting


@contextmanager
def attempted(vault: Ready) -> Iterator[Future[CutOverDone | Blocked]]:
    """Attempt a cut-over in another thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(vault.cut_over)
