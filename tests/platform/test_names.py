"""The names of a vault in Postgres: what is replaced in a statement, and what is not."""

from __future__ import annotations

import pytest
from psycopg2 import sql

from tests.kit.scratch import Scratch
from vault_etl.platform.names import ROLES, Names
from vault_etl.platform.postgres_bound import Cursor, rows_of

OTHERS = Names("staging", "stg_")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("SELECT FROM vault_etl.data_keys", "SELECT FROM staging.data_keys"),
        ("'vault_etl.vault'::regclass", "'staging.vault'::regclass"),
        ("n.nspname = 'vault_etl'", "n.nspname = 'staging'"),
        ('"vault_etl"."x"', '"staging"."x"'),
        ("format('vault_etl_detached.%I', x)", "format('staging_detached.%I', x)"),
        ("GRANT vault_etl_re_encrypt TO x", "GRANT stg_re_encrypt TO x"),
        ("'^vault_etl_(owner|audit)$'", "'^stg_(owner|audit)$'"),
        ("length('vault_etl_')", "length('stg_')"),
        *((f"vault_etl_{role};", f"stg_{role};") for role in ROLES),
        *(
            (text, text)
            for text in (
                "vault_etl_stream",
                "xvault_etl.a",
                "vault_etl_audit_2",
                "vault_etl2.a",
                "vault-etl/migrate",
                "VAULT_ETL_DATABASE_URL",
                "public.vault",
            )
        ),
    ],
)
def test_whole_words_are_replaced(text: str, named: str) -> None:
    """The schema, the schema of detached months, each role and the prefix alone; nothing else."""
    assert OTHERS.put_into(text) == named
    assert Names().put_into(text) == text


def test_each_way_to_run_a_statement_names_this_vault(shared: Scratch) -> None:
    """Texts, composed statements and values beside the text reach the vault; a value or a column is not replaced."""
    with shared.connect() as session:
        session.cursor().execute("CREATE SCHEMA staging; CREATE TABLE staging.t (vault_etl text)")
        with session.cursor(cursor_factory=Cursor.of(OTHERS)) as cursor:
            cursor.execute("INSERT INTO vault_etl.t VALUES (%s)", ("vault_etl.a",))
            into, column = sql.Identifier("vault_etl", "t"), sql.Identifier("vault_etl")
            added = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
                into, column, sql.Literal("vault_etl_audit")
            )
            cursor.execute(added)
            whole = sql.SQL("SELECT * FROM vault_etl.t ORDER BY 1")
            cursor.execute(whole)
            assert cursor.fetchall() == [("vault_etl.a",), ("vault_etl_audit",)]
            asked = "SELECT count(*) FROM vault_etl.t AS t WHERE to_jsonb(t) ? %(a)s"
            assert rows_of(cursor, asked, {"a": "vault_etl"}) == [(2,)]
