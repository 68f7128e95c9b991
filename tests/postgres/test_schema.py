"""A guard that was changed, by the owner or a superuser, is named: each kind of change, to any login."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from docs.generate_schema import schema_json
from tests.postgres.cut_over import CUT_OVER, ready
from tests.postgres.scratch import Scratch
from tests.vault import ROLES, Vault
from vault_etl.adapters.postgres_schema import FILE, PostgresSchema
from vault_etl.adapters.resources import resource_dir

FOLDER = resource_dir("migrations")
RELEASE = "function audit_release("
GUESS = "CREATE FUNCTION public.guess() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1"

ATTACKS = {
    "a function with another body": (
        """DO $$ BEGIN EXECUTE replace(pg_get_functiondef(
            (SELECT oid FROM pg_proc WHERE proname = 'audit_release')), 'BEGIN', 'BEGIN NULL;'); END $$""",
        (RELEASE, "source was changed"),
    ),
    "a function that runs as its caller": (
        """DO $$ BEGIN EXECUTE format('ALTER FUNCTION %s SECURITY INVOKER',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_release')); END $$""",
        (RELEASE, "SECURITY DEFINER was changed"),
    ),
    "another search path": (
        """DO $$ BEGIN EXECUTE format('ALTER FUNCTION %s SET search_path = public',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_release')); END $$""",
        (RELEASE, "settings was changed"),
    ),
    "no settings": (
        """DO $$ BEGIN EXECUTE format('ALTER FUNCTION %s RESET ALL',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_release')); END $$""",
        (RELEASE, "settings was changed"),
    ),
    "another owner of a function": (
        """DO $$ BEGIN EXECUTE format('ALTER FUNCTION %s OWNER TO admin',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_release')); END $$""",
        (RELEASE, "owner was changed"),
    ),
    "a function for everybody": (
        """DO $$ BEGIN EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_release')); END $$""",
        (RELEASE, "grant of EXECUTE to PUBLIC is not of the migrations"),
    ),
    "one more function": (GUESS, ("function guess()", "is not of the migrations")),
    "one more table": (
        "CREATE TABLE public.copy AS SELECT 1 AS one",
        ("table copy", "is not of the migrations"),
    ),
    "a trigger less": (
        """DO $$ BEGIN EXECUTE (SELECT format('DROP TRIGGER %I ON public.audit_log', tgname)
            FROM pg_trigger WHERE tgrelid = 'public.audit_log'::regclass AND NOT tgisinternal LIMIT 1);
            END $$""",
        ("table audit_log: trigger ", "is missing"),
    ),
    "triggers off": (
        "ALTER TABLE public.audit_log DISABLE TRIGGER USER",
        ("table audit_log: trigger ", "was changed"),
    ),
    "a trigger more": (
        """CREATE TRIGGER z BEFORE INSERT ON public.audit_log FOR EACH ROW
            EXECUTE FUNCTION suppress_redundant_updates_trigger()""",
        ("table audit_log: trigger z", "is not of the migrations"),
    ),
    "a rule": (
        "CREATE RULE z AS ON INSERT TO public.audit_log DO INSTEAD NOTHING",
        ("table audit_log: rule z", "is not of the migrations"),
    ),
    "row security": (
        "ALTER TABLE public.data_keys ENABLE ROW LEVEL SECURITY",
        ("table data_keys: row security", "was changed"),
    ),
    "a policy": (
        "CREATE POLICY z ON public.data_keys USING (true)",
        ("table data_keys: policy z", "is not of the migrations"),
    ),
    "a ciphertext for analysts": (
        "GRANT SELECT ON public.user_logins TO vault_etl_analyst",
        ("table user_logins: grant of SELECT to vault_etl_analyst", "is not of the migrations"),
    ),
    "one column of it": (
        "GRANT SELECT (ip_ciphertext) ON public.user_logins TO vault_etl_analyst",
        ("grant of SELECT (ip_ciphertext) to vault_etl_analyst", "is not of the migrations"),
    ),
    "a grant less": (
        "REVOKE SELECT ON public.user_logins_masked FROM vault_etl_analyst",
        ("view user_logins_masked: grant of SELECT to vault_etl_analyst", "is missing"),
    ),
    "a view of more": (
        """DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW public.user_logins_masked AS '
            || rtrim(pg_get_viewdef('public.user_logins_masked'::regclass), ';') || ' LIMIT 0'; END $$""",
        ("view user_logins_masked: definition", "was changed"),
    ),
    "a check less": (
        "ALTER TABLE public.user_logins DROP CONSTRAINT user_logins_user_id_check",
        ("table user_logins: constraint user_logins_user_id_check", "is missing"),
    ),
    "an index less": (
        "DROP INDEX public.user_logins_masked_ip",
        ("table user_logins: index user_logins_masked_ip", "is missing"),
    ),
    "a column more": (
        "ALTER TABLE public.user_logins ADD COLUMN plain text",
        ("table user_logins: column plain", "is not of the migrations"),
    ),
    "a grant on one partition": (
        """DO $$ BEGIN EXECUTE (SELECT format('GRANT SELECT ON %s TO vault_etl_analyst', inhrelid::regclass)
            FROM pg_inherits WHERE inhparent = 'public.user_logins'::regclass LIMIT 1); END $$""",
        ("table user_logins_", "grant of SELECT to vault_etl_analyst is not of the migrations"),
    ),
    "a trigger on one partition": (
        """CREATE TRIGGER z BEFORE INSERT ON public.user_logins_undated FOR EACH ROW
            EXECUTE FUNCTION suppress_redundant_updates_trigger()""",
        ("table user_logins_undated: trigger z", "is not of the migrations"),
    ),
    "the schema for everybody": (
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        ("schema public: grant of CREATE to PUBLIC", "is not of the migrations"),
    ),
    "temporary tables for everybody": (
        """DO $$ BEGIN EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO PUBLIC', current_database()); END $$""",
        ("database: grant of TEMPORARY to PUBLIC", "is not of the migrations"),
    ),
    "an event trigger": (
        """CREATE FUNCTION public.z() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
            CREATE EVENT TRIGGER z ON ddl_command_end EXECUTE FUNCTION public.z()""",
        ("database: event trigger z", "is not of the migrations"),
    ),
    "triggers off for all": (
        """DO $$ BEGIN EXECUTE format(
            'ALTER DATABASE %I SET session_replication_role = replica', current_database()); END $$""",
        ("database: setting session_replication_role of all", "is not of the migrations"),
    ),
    "default privileges": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE vault_etl_owner GRANT SELECT ON TABLES TO PUBLIC",
        ("database: default privileges of vault_etl_owner", "is not of the migrations"),
    ),
}


def differences(database: Scratch, role: str = "analyst") -> Sequence[str]:
    """As a login sees them."""
    with database.database(role) as opened:
        return PostgresSchema(opened, FOLDER).differences()


def test_the_file_is_current(scratch: Scratch) -> None:
    """It says what the migrations make. If this fails: .venv/bin/python docs/generate_schema.py."""
    with scratch.database("admin") as opened:
        facts = PostgresSchema(opened, FOLDER).facts()
    assert (FOLDER / FILE).read_text(encoding="utf-8") == schema_json(facts)


@pytest.mark.parametrize("role", ROLES)
def test_a_database_that_was_migrated_has_no_difference(shared: Scratch, role: str) -> None:
    """Every role may look, and sees the same."""
    assert differences(shared, role) == []


@pytest.mark.parametrize(("attack", "named"), ATTACKS.values(), ids=ATTACKS.keys())
def test_a_changed_guard_is_named(scratch: Scratch, attack: str, named: tuple[str, str]) -> None:
    """Whoever changed it, and by whatever statement: the object, the aspect, and how it differs."""
    scratch.sql(attack)
    found = differences(scratch)
    assert any(all(part in line for part in named) for line in found), found


def test_a_cut_over_of_tokens_is_no_difference(scratch: Scratch) -> None:
    """Columns and indexes change their names with each other, and the view is made again."""
    ready(scratch)
    scratch.sql(CUT_OVER, role="re-encrypt")
    assert differences(scratch) == []


def test_a_role_that_may_more_is_named(scratch: Scratch) -> None:
    """Roles belong to the cluster: attributes, and the roles that they are members of."""
    scratch.sql("GRANT pg_read_all_data TO vault_etl_analyst; ALTER ROLE vault_etl_audit BYPASSRLS")
    try:
        found = differences(scratch)
    finally:
        scratch.sql(
            "REVOKE pg_read_all_data FROM vault_etl_analyst; ALTER ROLE vault_etl_audit NOBYPASSRLS"
        )
    assert found == [
        "role vault_etl_analyst: memberships was changed",
        "role vault_etl_audit: attributes was changed",
    ]


def test_the_commands_name_it(bare_vault: Vault) -> None:
    """`doctor` and `migrate --check`, of a login that may nothing: exit 78, and every difference."""
    bare_vault.sql(GUESS)
    bare_vault.sql("ALTER TABLE public.audit_log DISABLE TRIGGER USER")
    checked = bare_vault.run("analyst", "migrate", "--check")
    told = next(
        line for line in bare_vault.run("analyst", "doctor").lines if line["check"] == "schema"
    )
    assert (checked.code, told["ok"]) == (78, False)
    for shown in (checked.stderr, told["detail"]):
        assert "function guess() is not of the migrations" in shown
        assert "table audit_log: trigger " in shown
