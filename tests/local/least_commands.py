"""Minimal replacements of the stack's own commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path

import psycopg2

_EVENT_TABLES = """
CREATE OR REPLACE FUNCTION vault_etl.event_tables() RETURNS TABLE (event text, place regclass)
LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS
$$ VALUES ('user_logins', 'vault_etl.user_logins'::regclass) $$
"""


def least_commands(
    arguments: Sequence[str], environment: Mapping[str, str], _directory: Path
) -> None:
    """Make the group roles, and tables for one row each, in place of `migrate`, which takes seconds."""
    if arguments != ["migrate"]:
        return
    with (
        closing(psycopg2.connect(environment["VAULT_ETL_DATABASE_URL"])) as connection,
        connection.cursor() as cursor,
    ):
        for role in (
            "owner", "ingest", "reveal", "rotate", "re_encrypt", "erase", "audit", "analyst",
        ):  # fmt: skip
            cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", (f"vault_etl_{role}",))
            if cursor.rowcount == 0:
                cursor.execute(f"CREATE ROLE vault_etl_{role} NOLOGIN")
        cursor.execute("CREATE SCHEMA IF NOT EXISTS vault_etl")
        for table in ("data_keys", "user_logins", "quarantine"):
            cursor.execute(f"CREATE TABLE IF NOT EXISTS vault_etl.{table} (id integer)")
        cursor.execute(_EVENT_TABLES)
        connection.commit()
