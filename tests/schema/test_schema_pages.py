"""Pages in migrations/ show what the migrations make. If a test fails: docs/generate_schema.py."""

from __future__ import annotations

import re

from docs.generate_schema import DUMP, PAGE, schema_sql, with_rights
from tests.kit.declarations import DEFAULT
from tests.kit.scratch import Scratch
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_schema import PostgresSchema

FOLDER = resource_dir("migrations")
NAMES = sorted(path.stem for path in FOLDER.glob("[0-9]*.sql"))
NOT_COMMENTED = """
SELECT 'table ' || c.relname FROM pg_class AS c
WHERE c.relnamespace = 'vault_etl'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    AND obj_description(c.oid, 'pg_class') IS NULL
    AND c.relname !~ '^user_logins_[0-9]' AND c.relname <> 'migrations'
UNION ALL
SELECT 'function ' || p.proname FROM pg_proc AS p
WHERE p.pronamespace = 'vault_etl'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL
"""


def test_schema_sql_is_a_dump_of_what_the_migrations_make(scratch: Scratch) -> None:
    """`pg_dump --schema-only` of a migrated database is the committed file, byte for byte."""
    assert (FOLDER / DUMP).read_text(encoding="utf-8") == schema_sql(scratch.url("admin"))


def test_the_readme_lists_who_may_do_what(scratch: Scratch) -> None:
    """The tables of rights are those of the catalog."""
    page = (FOLDER / PAGE).read_text(encoding="utf-8")
    with scratch.database("admin") as opened:
        facts = PostgresSchema(opened, FOLDER, DEFAULT).facts()
    assert page == with_rights(page, facts)


def test_the_readme_lists_every_file_in_order() -> None:
    """Each migration has a row."""
    page = (FOLDER / PAGE).read_text(encoding="utf-8")
    assert re.findall(r"^\| \[(\w+)\]", page, re.MULTILINE) == NAMES


def test_every_table_view_and_function_has_a_comment(shared: Scratch) -> None:
    """A comment stored beside each object says what the object is for."""
    assert shared.sql(NOT_COMMENTED) == []
