"""Exit 1: a bug is said to be one, by its place and class; no value and no traceback is shown."""

from __future__ import annotations

from tests.kit.processes import fails
from tests.kit.vault import Vault

VALUE = "203.0.113.99"


def test_an_unforeseen_answer_of_the_database_is_a_bug(quick: Vault) -> None:
    """A function raises an unforeseen error: its SQLSTATE is named, and its text is not."""
    quick.sql(
        "CREATE OR REPLACE FUNCTION vault_etl.ensure_partition(event text, month date) RETURNS text"
        " LANGUAGE plpgsql AS $$ BEGIN"
        f" RAISE EXCEPTION 'row ({VALUE})' USING DETAIL = 'value {VALUE}'; END $$"
    )
    result = quick.run("ingest", "ingest", "--verbose")
    fails(result, 1, "SQLSTATE P0001")
    assert VALUE not in result.stderr


def test_unforeseen_data_is_a_bug(quick: Vault) -> None:
    """A state that no version knows breaks the reader: where, of what class, and not what it read."""
    quick.sql("ALTER TABLE data_keys DISABLE TRIGGER USER, DROP CONSTRAINT data_keys_state_check")
    quick.sql("UPDATE data_keys SET state = %s", VALUE)
    result = quick.run("audit", "keys", "list", "--verbose")
    fails(result, 1, "a bug: ValueError at ")
    assert "keys/postgres.py:" in result.stderr
    assert "Traceback" not in result.stderr
    assert VALUE not in result.stderr
