"""Months of a table of records, seen from the database and by `vault-etl partitions`: made, named and filled."""

from __future__ import annotations

import datetime as dt
import re
import uuid

from tests.kit.declarations import widest_first
from tests.kit.declared import USER_LOGINS
from tests.kit.scratch import Scratch
from tests.kit.vault import Vault
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.declaration.model import DeclaredEvent

INSERT = "INSERT INTO vault_etl.user_logins (record_id, user_id, device_type, create_date)"


def ensure(database: Scratch, moment: dt.date | str) -> str:
    """Make the partition of a day, as ingest; its name."""
    return str(
        database.value(
            "SELECT vault_etl.ensure_partition('user_logins', %s::date)", moment, role="ingest"
        )
    )


def insert(database: Scratch, record_id: uuid.UUID) -> str:
    """Insert a row; the partition that it went to."""
    return str(
        database.value(
            f"{INSERT} VALUES (%s, 'u', 'd', '2026-01-01') RETURNING tableoid::regclass::text",
            record_id,
        )
    )


def month_start(ahead: int) -> dt.datetime:
    """The first moment, in UTC, of the month that many ahead of this one."""
    now = dt.datetime.now(dt.UTC)
    years, month = divmod(now.month - 1 + ahead, 12)
    return dt.datetime(now.year + years, month + 1, 1, tzinfo=dt.UTC)


def name_of(ahead: int, event: str = USER_LOGINS) -> str:
    """The name of that month's partition."""
    return f"{event}_{month_start(ahead):%Y_%m}"


def with_months(text: str) -> str:
    """The text, with a partition's name for each `<month N>`: a file that is imported knows no month."""
    return re.sub(r"<month (-?\d+)>", lambda found: name_of(int(found[1])), text)


def partitions(database: Scratch) -> set[str]:
    """The names of all partitions."""
    rows = database.sql(
        "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'user_logins'::regclass"
    )
    return {name for (name,) in rows}


def request() -> AuditRequest:
    """Return the audit request of an attachment."""
    return AuditRequest(
        request_id=uuid.uuid4(), action=Action.PARTITIONS_ATTACH, actor="a", host="h", reason="r"
    )


WHY = ("--reason", "a test asks", "--yes")


def entries(vault: Vault) -> list[tuple[str, str, str, str]]:
    """Action, phase, decision and reason of each entry about a partition."""
    found = vault.sql(
        "SELECT action, phase, decision, reason FROM audit_log WHERE action LIKE 'partitions %%'"
        " AND seq > %s ORDER BY seq",
        0,
    )
    return [(action, phase, decision, reason) for action, phase, decision, reason in found]


def months(vault: Vault) -> dict[str, str]:
    """The state of each partition that is there or was closed."""
    rows = vault.ok("admin", "partitions", "list").lines
    return {row["partition"]: row["state"] for row in rows}


def table(month: str, event: str = USER_LOGINS) -> str:
    """The name of a month's partition."""
    return f"{event}_{month.replace('-', '_')}"


def widest_event(vault: Vault) -> DeclaredEvent:
    """The event with the most personal values: the one whose months a suite of any declaration moves."""
    return widest_first(vault.declaration)[0]


def partition_of_this_month(vault: Vault) -> str:
    """The partition of the widest event that this month's records are in."""
    return table(this_month(vault), widest_event(vault).name)


def this_month(vault: Vault) -> str:
    """The month of the records, by the database's clock."""
    ((month,),) = vault.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')")
    return str(month)
