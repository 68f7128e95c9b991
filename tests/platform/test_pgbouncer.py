"""Through PgBouncer in transaction mode, many callers of one login get the answers that each would get alone."""

from __future__ import annotations

import dataclasses
import datetime as dt
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import psycopg2
import pytest

from tests.kit.databases import database_copy
from tests.kit.declarations import DEFAULT
from tests.kit.declared import IP
from tests.kit.doctor import lines
from tests.kit.events import event
from tests.kit.fakes.vault import find_request
from tests.kit.pgbouncer import CONNECTIONS, pgbouncer
from tests.kit.vault import ROLES, Vault
from tests.kit.vaults import fill
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.errors import ConfigurationError
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Provisioned
from vault_etl.platform.postgres import Database
from vault_etl.reveal.duplicates import SharedTokenQuery
from vault_etl.reveal.postgres_duplicates import PostgresDuplicateFinder
from vault_etl.reveal.postgres_find import PostgresRecordFinder

pytestmark = pytest.mark.system

CALLERS, TIMES = 8, 15
LOGINS = ["admin", *(f"test_{role.replace('-', '_')}" for role in ROLES)]
ADDRESSES = [f"198.51.100.{n}" for n in range(1, CALLERS + 1)]
BODIES = [
    *(event(ip=address, user_id=f"u{n}") for n, address in enumerate(ADDRESSES) for _ in range(n + 2)),
    "no event",
]  # fmt: skip
"""Caller n's address is in n + 2 records."""


@pytest.fixture(scope="module")
def pooled(
    postgres: RunningPostgres,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Vault]:
    """A vault that was migrated, given keys and filled through the pooler, and is only ever reached through it."""
    home = tmp_path_factory.mktemp("pooled")
    with pgbouncer(postgres, LOGINS) as server, database_copy(server, "template1") as database:
        vault = Vault(server, database, *moto, home)
        vault.ok("admin", "migrate")
        vault.register_audit_key()
        vault.ok("re-encrypt", "keys", "init")
        fill(vault, BODIES)
        yield vault


def together(call: Callable[[int], Any]) -> list[Any]:
    """The results of all calls, which run at once."""
    with ThreadPoolExecutor(CALLERS) as callers:
        return list(callers.map(call, range(CALLERS)))


def test_every_find_is_right(pooled: Vault) -> None:
    """Eight callers of one login, 15 finds each: intent, binding, look-up and outcome in four sessions, maybe."""
    tokens = {
        user: uuid.UUID(token)
        for user, token in pooled.sql("SELECT user_id, masked_ip::text FROM vault_etl.user_logins")
    }

    def find(caller: int) -> list[int]:
        with closing(Database(pooled.database_url("reveal"))) as database:
            audit, records = PostgresAuditLog(database), PostgresRecordFinder(database)
            counts = []
            for _ in range(TIMES):
                receipt = audit.intend(find_request(IP))
                (held,) = records.holding(receipt, [tokens[f"u{caller}"]], limit=10)
                audit.conclude(receipt)
                counts.append(held.count)
            return counts

    assert together(find) == [[caller + 2] * TIMES for caller in range(CALLERS)]


def test_every_list_is_whole(pooled: Vault) -> None:
    """Eight callers that page through results of different lengths see their own, from the first row to the last."""

    def duplicates(caller: int) -> list[int]:
        query = SharedTokenQuery(field=IP, min_count=caller + 2, limit=100)
        with closing(Database(pooled.database_url("analyst"))) as database:
            finder = PostgresDuplicateFinder(database, DEFAULT)
            return [len(list(finder.shared_tokens(query))) for _ in range(TIMES)]

    assert together(duplicates) == [[CALLERS - caller] * TIMES for caller in range(CALLERS)]


def test_the_commands_work_side_by_side(pooled: Vault) -> None:
    """One command of each kind runs at once, among them two that rotate and one that ingests."""
    ((record_id,),) = pooled.sql(
        "SELECT record_id::text FROM vault_etl.user_logins WHERE user_id = 'u0' LIMIT 1"
    )
    pooled.send(BODIES[:20])
    asked = [
        ("reveal", "find", "--field", "ip", "--reason", "r"),
        ("reveal", "reveal", record_id, "--field", "ip", "--reason", "r"),
        ("reveal", "quarantine", "list", "--summary"),
        ("analyst", "duplicates", "--field", "ip"),
        ("ingest", "ingest"),
        ("re-encrypt", "keys", "rotate", "--yes"),
        ("re-encrypt", "keys", "rotate", "--tokens", "--yes"),
        ("erase", "erase", "--user-id", "u7", "--reason", "r", "--yes"),
    ]
    results = together(
        lambda caller: pooled.run(
            *asked[caller], stdin=f"{ADDRESSES[1]}\n" if caller == 0 else None
        )
    )
    assert [result.code for result in results] == [0] * CALLERS, [r.stderr for r in results]
    verified = pooled.ok("audit", "audit", "verify").json
    assert verified["ok"]


def test_the_sessions_keep_no_state(pooled: Vault) -> None:
    """The next caller of the same login finds the session as it was made.

    But for empty temporary tables, and for the interval that a CALL needs, which serves every caller (ADR 36).
    """
    look = (
        "SELECT string_agg(name, ', ') FROM pg_settings WHERE source = 'session'"
        " AND name NOT LIKE 'transaction%' AND name NOT IN"
        " ('application_name', 'client_encoding', 'DateStyle', 'standard_conforming_strings',"
        "  'client_connection_check_interval')"
        " UNION ALL SELECT string_agg(name, ', ') FROM pg_cursors WHERE is_holdable"
    )
    for role in ("reveal", "analyst", "ingest", "re-encrypt"):
        with ExitStack() as opened:
            for _ in range(CONNECTIONS):  # each in a transaction, so that each has a session
                connection = opened.enter_context(
                    closing(psycopg2.connect(pooled.database_url(role)))
                )
                with connection.cursor() as cursor:
                    cursor.execute(look)
                    assert cursor.fetchall() == [(None,), (None,)]


def test_doctor_tells_the_pooler(pooled: Vault, postgres: RunningPostgres) -> None:
    """Doctor also says that the log's addresses are the pooler's; of a direct connection it says nothing."""
    direct = dataclasses.replace(pooled, server=postgres)
    through, plain = (
        lines(vault, "reveal", code=0)["postgres"]["detail"] for vault in (pooled, direct)
    )
    assert "through a pooler" in through
    assert "client_address" in through
    assert "pooler" not in plain


def test_commands_that_need_their_own_session_are_refused(pooled: Vault) -> None:
    """`partitions detach` and `migrate --online`, which share this: nothing is set in a session of another program."""
    month = f"{dt.datetime.now(dt.UTC):%Y-%m}"
    refused = pooled.run("admin", "partitions", "detach", month, "--reason", "r", "--yes")
    assert (refused.code, "there is a pooler" in refused.stderr) == (78, True)
    with closing(Database(pooled.database_url("admin"))) as database:
        with (
            pytest.raises(ConfigurationError, match="a session of its own"),
            database.session("vault_etl_owner"),
        ):
            pytest.fail("it was opened")
        with database.transaction() as cursor:
            cursor.execute("SELECT current_user::text")
            assert cursor.fetchall() == [("admin",)]
