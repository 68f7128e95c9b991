"""The counts of `keys rotate --tokens --dry-run`."""

from __future__ import annotations

from tests.kit.declarations import DEFAULT
from tests.kit.vault import Vault
from tests.rotation.events import RECORDS
from vault_etl.platform.postgres import Database
from vault_etl.rotation.postgres_tokens import PostgresTokenComparer


def test_a_plan_counts_every_record_that_gets_a_token(rotation_filled: Vault) -> None:
    """Before a rotation begins all records count; the number of ranges follows from the rows of the plan."""
    plan = rotation_filled.ok("re-encrypt", "keys", "rotate", "--tokens", "--dry-run").json
    assert plan["rows_remaining"] == RECORDS
    rotation_filled.sql("UPDATE user_logins SET next_token_generation = 2 WHERE user_id = 'u-1'")
    database = Database(rotation_filled.database_url("re-encrypt"))
    try:
        assert PostgresTokenComparer(database, DEFAULT).count(None) == RECORDS
    finally:
        database.close()
