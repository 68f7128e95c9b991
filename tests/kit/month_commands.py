"""`vault-etl partitions` in tests: states of months, and the entries that it writes."""

from __future__ import annotations

from tests.kit.vault import Vault

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


def table(month: str) -> str:
    """The name of a month's partition."""
    return f"user_logins_{month.replace('-', '_')}"


def this_month(vault: Vault) -> str:
    """The month of the records, by the database's clock."""
    ((month,),) = vault.sql("SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM')")
    return str(month)
