"""A caller with objects of our names, in pg_temp and in a schema of its own, against every function of ours."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg2
import pytest
from psycopg2.extensions import connection

from tests.kit.databases import clone
from tests.kit.rights import COMMITS
from tests.kit.scratch import Scratch
from tests.kit.vault import ROLES
from vault_etl.local.postgres import RunningPostgres

CAUGHT = re.compile(r"trapped|view \"")
"""The message of a trap, or of a statement that writes into one."""
RELATIONS = """
SELECT c.relname::text, string_agg(format('NULL::%s AS %I', format_type(a.atttypid, a.atttypmod), a.attname), ', ')
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = 'vault_etl'::regnamespace AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition
GROUP BY 1
"""
FUNCTIONS = """
SELECT p.proname::text, oidvectortypes(p.proargtypes), p.prokind::text, p.pronargs,
    has_function_privilege(session_user, p.oid, 'EXECUTE')
FROM pg_proc AS p WHERE p.pronamespace = 'vault_etl'::regnamespace AND p.prorettype <> 'trigger'::regtype
ORDER BY 1
"""
SYSTEMS = {
    "clock_timestamp": "",
    "now": "",
    "statement_timestamp": "",
    "format": "text, uuid",
    "sha256": "bytea",
}
"""Functions of the system that ours call, with arguments that a caller could make fit as well or better."""
OPERATORS = {
    "=": ("uuid", "text", "bigint", "regclass"),
    "<=": ("timestamptz",),
    "||": ("text", "bytea"),
    "~": ("text",),
}
UNQUALIFIED = """
CREATE FUNCTION vault_etl.unqualified() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER{settings} AS $$
BEGIN
    RETURN (SELECT count(*) FROM {table});
END $$;
GRANT EXECUTE ON FUNCTION vault_etl.unqualified() TO PUBLIC
"""


@pytest.fixture
def trapped(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A vault with keys and a month, beside a schema `evil` in which every login may create."""
    with clone(postgres) as database:
        database.add_token_keys()
        database.write_keys()
        database.sql("SELECT vault_etl.ensure_partition('user_logins', current_date)")
        database.sql("CREATE SCHEMA evil; GRANT ALL ON SCHEMA evil TO PUBLIC")
        yield database


@contextmanager
def laid(
    database: Scratch, role: str
) -> Iterator[tuple[connection, list[tuple[str, str, str, int, bool]]]]:
    """A session of the role with a trap for every name of ours and for some of the system's; the functions of ours."""
    relations = database.sql(RELATIONS)
    with database.connect(role) as session, session.cursor() as cursor:
        session.autocommit = True
        cursor.execute(FUNCTIONS)
        functions = cursor.fetchall()
        body = "LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$"
        cursor.execute(f"CREATE FUNCTION evil.trap() RETURNS boolean {body}")
        for place in ("evil", "pg_temp"):
            for name, columns in relations:
                cursor.execute(f"CREATE VIEW {place}.{name} AS SELECT {columns} WHERE evil.trap()")
            for name, arguments, kind, *_ in functions:
                made = (
                    f"PROCEDURE {place}.{name}({arguments})"
                    if kind == "p"
                    else f"FUNCTION {place}.{name}({arguments}) RETURNS boolean"
                )
                cursor.execute(f"CREATE {made} {body}")
            for name, arguments in SYSTEMS.items():
                cursor.execute(f"CREATE FUNCTION {place}.{name}({arguments}) RETURNS text {body}")
        for name, types in OPERATORS.items():
            for operand in types:
                number = uuid.uuid4().hex
                cursor.execute(
                    f"CREATE FUNCTION evil.f{number}({operand}, {operand}) RETURNS boolean {body};"
                    f"CREATE OPERATOR evil.{name}"
                    f" (LEFTARG = {operand}, RIGHTARG = {operand}, FUNCTION = evil.f{number})"
                )
        cursor.execute("SET search_path = evil, pg_temp, vault_etl, pg_catalog")
        yield session, functions


def _caught(session: connection, statement: str) -> bool:
    """Tell whether a trap was reached. Other refusals are what the function says to such arguments."""
    with session.cursor() as cursor:
        try:
            cursor.execute(statement)
        except psycopg2.Error as error:
            return bool(CAUGHT.search(str(error)))
    return False


@pytest.mark.parametrize("role", ROLES)
def test_no_function_reaches_what_its_caller_laid(trapped: Scratch, role: str) -> None:
    """Each function that the role may call reads the relations of the vault and functions of the system."""
    with laid(trapped, role) as (session, functions):
        called = set()
        for name, arguments, kind, _, may in functions:
            if not may:
                continue
            given = ", ".join(
                f"{_value(kind_of)}::{kind_of}" for kind_of in arguments.split(", ") if kind_of
            )
            verb = "CALL" if kind == "p" else "SELECT * FROM"
            statement = f"{verb} vault_etl.{name}({given})"
            assert not _caught(session, statement), statement
            called.add(name)
        assert called
        assert _caught(session, "SELECT * FROM data_keys"), "the traps work"
        assert _caught(session, "SELECT 'a'::text = 'a'::text"), "and those of operators"
    assert {f"commit_{name}" for name in COMMITS} & called or role == "analyst"


def _value(of: str) -> str:
    """A value that a function takes without a refusal at its door, as SQL."""
    if of.endswith("[]"):
        return f"ARRAY[{_value(of.removesuffix('[]'))}]"
    return {
        "uuid": f"'{uuid.uuid4()}'",
        "text": "'ip'",
        "date": "current_date",
        "boolean": "true",
        "bytea": "'x'",
        "timestamp with time zone": "pg_catalog.now()",
        "jsonb": "'[]'",
        "interval": "'1 hour'",
    }.get(of, "1")


@pytest.mark.parametrize(
    ("settings", "table"),
    [("", "data_keys"), (" SET search_path = pg_catalog, pg_temp", "data_keys")],
    ids=["no path of its own", "a name without its schema"],
)
def test_a_function_that_breaks_the_rules_is_caught(
    trapped: Scratch, settings: str, table: str
) -> None:
    """The traps find a function that does not pin its path, and one that does and names a table alone."""
    trapped.sql(UNQUALIFIED.format(settings=settings, table=table))
    with laid(trapped, "analyst") as (session, _):
        assert _caught(session, "SELECT vault_etl.unqualified()")


def test_a_call_outside_a_transaction_looks_up_no_operator(trapped: Scratch) -> None:
    """A path of the database's owner, with operators before those of the system, runs nothing of the owner's."""
    trapped.sql(
        "CREATE FUNCTION evil.f(text, text) RETURNS boolean LANGUAGE plpgsql"
        " AS $$ BEGIN RAISE 'trapped'; END $$;"
        "CREATE OPERATOR evil.= (LEFTARG = text, RIGHTARG = text, FUNCTION = evil.f)"
    )
    trapped.sql(f'ALTER DATABASE "{trapped.name}" SET search_path = evil, pg_catalog')
    with trapped.loader() as loader:
        assert loader.prepare_partitions()


@pytest.mark.parametrize("name", ["xvault_etl", '"a vault_etl"', '"vault_etl."'])
def test_a_procedure_of_a_schema_that_is_named_alike_commits_nothing(
    trapped: Scratch, name: str
) -> None:
    """Only a procedure of the vault may hold the end of the log: another one could hold it for hours."""
    trapped.sql(f"CREATE SCHEMA {name}; GRANT ALL ON SCHEMA {name} TO test_rotate")
    trapped.sql(
        f"CREATE PROCEDURE {name}.commit_data_keys_retire() LANGUAGE plpgsql AS $$"
        " BEGIN COMMIT; PERFORM vault_etl.data_keys_retire(gen_random_uuid(), 'a', 'h', ARRAY['ip'], false);"
        " END $$",
        role="rotate",
    )
    with pytest.raises(
        psycopg2.errors.InsufficientPrivilege, match="only a procedure of this vault"
    ):
        trapped.sql(f"CALL {name}.commit_data_keys_retire()", role="rotate")
