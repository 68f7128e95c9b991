"""Objects, settings and rights around the schema that reach what is in it are named, each kind."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from tests.kit.databases import clone
from tests.kit.schemas import differences
from vault_etl.local.postgres import RunningPostgres

NOT_OURS = " is not of the migrations"
OWNER = "SET ROLE vault_etl_owner"

ATTACKS = {
    "a schema of the owner": (
        "CREATE SCHEMA z AUTHORIZATION vault_etl_owner",
        "schema z of vault_etl_owner",
    ),
    "a view of the owner elsewhere": (
        """CREATE SCHEMA a; GRANT ALL ON SCHEMA a TO PUBLIC; SET ROLE vault_etl_owner;
            CREATE VIEW a.rows AS SELECT ip_ciphertext FROM vault_etl.user_logins""",
        "view a.rows of vault_etl_owner",
    ),
    "a function of the owner elsewhere": (
        f"{OWNER}; CREATE FUNCTION a.give() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1",
        "function a.give() of vault_etl_owner",
    ),
    "a function that runs as who may act as the owner": (
        "CREATE FUNCTION a.run() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1",
        "function a.run(), SECURITY DEFINER as admin",
    ),
    "a view that reads as who may act as the owner": (
        "CREATE VIEW a.read AS SELECT ip_ciphertext FROM vault_etl.user_logins",
        "view a.read, which reads as admin",
    ),
    "a part of the log elsewhere": (
        "CREATE TABLE a.log () INHERITS (vault_etl.audit_log)",
        "table a.log, a part of vault_etl.audit_log",
    ),
    "a type": ("CREATE TYPE vault_etl.mood AS ENUM ('sad')", "type vault_etl.mood"),
    "a composite type": ("CREATE TYPE vault_etl.pair AS (one int)", "type vault_etl.pair"),
    "statistics that show values": (
        f"{OWNER}; CREATE STATISTICS vault_etl.shown (mcv) ON user_id, locale FROM vault_etl.user_logins",
        "statistics object vault_etl.shown",
    ),
    "a cast": (
        "CREATE CAST (uuid AS bytea) WITH INOUT",
        "cast (pg_catalog.uuid AS pg_catalog.bytea)",
    ),
    "a function in the system's schema": (
        "CREATE FUNCTION pg_catalog.btrim(varchar) RETURNS text LANGUAGE sql RETURN 'x'",
        "function pg_catalog.btrim(character varying)",
    ),
    "a grant on a function of the system": (
        "GRANT EXECUTE ON FUNCTION pg_read_file(text) TO PUBLIC",
        "grant of EXECUTE on pg_catalog.pg_read_file(pg_catalog.text) to PUBLIC",
    ),
    "one to a login": (
        "GRANT EXECUTE ON FUNCTION pg_ls_dir(text) TO test_ingest",
        "grant of EXECUTE on pg_catalog.pg_ls_dir(pg_catalog.text) to test_ingest",
    ),
    "a grant on a catalog": (
        "GRANT SELECT ON pg_authid TO vault_etl_audit",
        "grant of SELECT on pg_catalog.pg_authid to vault_etl_audit",
    ),
    "one on a column of it": (
        "GRANT SELECT (stavalues1) ON pg_statistic TO vault_etl_reveal",
        "grant of SELECT on pg_catalog.pg_statistic.stavalues1 to vault_etl_reveal",
    ),
    "a grant elsewhere": (
        "GRANT USAGE ON SCHEMA a TO vault_etl_reveal",
        "grant on schema a to vault_etl_reveal",
    ),
    "a right on a parameter": (
        "GRANT SET ON PARAMETER session_replication_role TO vault_etl_ingest",
        "grant of SET on parameter session_replication_role to vault_etl_ingest",
    ),
    "one of a login": (
        "GRANT ALTER SYSTEM ON PARAMETER archive_command TO test_rotate",
        "grant of ALTER SYSTEM on parameter archive_command to test_rotate",
    ),
    "one of a role that a login is a member of": (
        """CREATE ROLE test_group; GRANT test_group TO test_reveal;
            GRANT SET ON PARAMETER log_statement TO test_group""",
        "grant of SET on parameter log_statement to test_group",
    ),
    "one for every role": (
        "GRANT SET ON PARAMETER deadlock_timeout TO PUBLIC",
        "grant of SET on parameter deadlock_timeout to PUBLIC",
    ),
    "triggers off for all": (
        """DO $$ BEGIN EXECUTE format(
            'ALTER DATABASE %I SET session_replication_role = replica', current_database()); END $$""",
        "setting session_replication_role of all",
    ),
    "a setting of a login": (
        "ALTER ROLE test_reveal SET synchronous_commit = off",
        "setting synchronous_commit of test_reveal",
    ),
    "a setting of one of our roles": (
        "ALTER ROLE vault_etl_audit SET work_mem = '1MB'",
        "setting work_mem of vault_etl_audit",
    ),
    "an event trigger": (
        """CREATE FUNCTION a.z() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
            CREATE EVENT TRIGGER z ON ddl_command_end EXECUTE FUNCTION a.z()""",
        "event trigger z",
    ),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE vault_etl_owner GRANT SELECT ON TABLES TO PUBLIC",
        "default privileges of vault_etl_owner r",
    ),
    "a publication of all": (
        "CREATE PUBLICATION everything FOR ALL TABLES",
        "publication everything",
    ),
    "a publication of one": (
        "CREATE PUBLICATION leak FOR TABLE vault_etl.user_logins",
        "publication leak",
    ),
    "a subscription": (
        """CREATE SUBSCRIPTION feed CONNECTION 'host=127.0.0.1' PUBLICATION p
            WITH (connect = false, slot_name = NONE)""",
        "subscription feed",
    ),
    "a foreign-data wrapper": ("CREATE FOREIGN DATA WRAPPER w", "foreign-data wrapper w"),
    "a foreign server": (
        "CREATE SERVER s FOREIGN DATA WRAPPER w",
        "foreign server s",
    ),
    "an extension": ("CREATE EXTENSION vector", "extension vector"),
    "a language that is trusted": (
        "UPDATE pg_language SET lanpltrusted = true WHERE lanname = 'c'",
        "language c: trusted was changed",
    ),
    "what a language may be used by": (
        "GRANT USAGE ON LANGUAGE plpgsql TO test_ingest",
        "language plpgsql: grants was changed",
    ),
    "a role that reads all": (
        "GRANT pg_read_all_data TO vault_etl_analyst",
        "role vault_etl_analyst: membership of pg_read_all_data",
    ),
    "a role that no row security holds": (
        "ALTER ROLE vault_etl_audit BYPASSRLS",
        "role vault_etl_audit: attributes was changed",
    ),
}

UNDO = """
    DROP SUBSCRIPTION IF EXISTS feed;
    REVOKE EXECUTE ON FUNCTION pg_ls_dir(text) FROM test_ingest;
    REVOKE ALL ON PARAMETER session_replication_role FROM vault_etl_ingest;
    REVOKE ALL ON PARAMETER archive_command FROM test_rotate;
    REVOKE ALL ON PARAMETER log_statement FROM test_group;
    REVOKE ALL ON PARAMETER deadlock_timeout FROM PUBLIC;
    DROP ROLE test_group;
    ALTER ROLE test_reveal RESET ALL;
    ALTER ROLE vault_etl_audit RESET ALL;
    ALTER ROLE vault_etl_audit NOBYPASSRLS;
    REVOKE pg_read_all_data FROM vault_etl_analyst;
"""


@pytest.fixture(scope="module")
def found(postgres: RunningPostgres) -> list[str]:
    """The differences of a database in which all of this was done, as an analyst sees them."""
    with clone(postgres) as scratch:
        try:
            for attack, _ in ATTACKS.values():
                scratch.sql(attack)
            return sorted(line.removesuffix(NOT_OURS) for line in differences(scratch))
        finally:
            for undo in UNDO.strip().split("\n"):
                scratch.sql(undo)


@pytest.mark.parametrize("named", [named for _, named in ATTACKS.values()], ids=ATTACKS.keys())
def test_each_object_around_the_schema_is_named(found: list[str], named: str) -> None:
    """The line says what the object is, and its owner."""
    assert named in found


def test_no_other_object_is_named(found: list[str]) -> None:
    """Each object has one line."""
    assert found == sorted(named for _, named in ATTACKS.values())


HARMLESS = {
    "ingest": """SET ROLE vault_etl_ingest; CREATE TEMP TABLE t (); CREATE TYPE pg_temp.word AS ENUM ('a');
        CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1;
        CREATE CAST (pg_temp.word AS text) WITH INOUT""",
    "analyst": """ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC; SET ROLE vault_etl_analyst;
        SELECT lo_create(0) FROM generate_series(1, 100)""",
}


def test_objects_that_every_login_may_make_are_no_difference(postgres: RunningPostgres) -> None:
    """Such an object reaches nothing, and many lines of it would hide those that do."""
    with clone(postgres) as scratch, ExitStack() as sessions:
        for role, statements in HARMLESS.items():
            session = sessions.enter_context(scratch.connect(role))
            session.autocommit = True
            session.cursor().execute(statements)
        assert differences(scratch) == []
