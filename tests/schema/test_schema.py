"""A guard that the owner or a superuser changed is named: each kind of change, to any login."""

from __future__ import annotations

import pytest

from tests.kit.cut_over import CUT_OVER, ready
from tests.kit.declarations import DEFAULT
from tests.kit.months import with_months
from tests.kit.schemas import FOLDER, differences
from tests.kit.scratch import Scratch
from tests.kit.vault import ROLES, Vault
from vault_etl.schema.facts_file import FILE, facts_file
from vault_etl.schema.postgres_schema import PostgresSchema

RELEASE = "function audit_disclose("
OWNER = "SET ROLE vault_etl_owner"
THIS_MONTH = "<month 0>"
GUESS = "CREATE FUNCTION vault_etl.guess() RETURNS int LANGUAGE sql SECURITY DEFINER RETURN 1"

ATTACKS = {
    "a function with another body": (
        """DO $$ BEGIN EXECUTE replace(pg_get_functiondef(
            (SELECT oid FROM pg_proc WHERE proname = 'audit_disclose')), 'BEGIN', 'BEGIN NULL;'); END $$""",
        (RELEASE, "source was changed"),
    ),
    "a function that runs as its caller": (
        """DO $$ BEGIN EXECUTE format('ALTER FUNCTION %s SECURITY INVOKER',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_disclose')); END $$""",
        (RELEASE, "SECURITY DEFINER was changed"),
    ),
    "another search path": (
        """DO $$ BEGIN EXECUTE format('ALTER FUNCTION %s SET search_path = public',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_disclose')); END $$""",
        (RELEASE, "settings was changed"),
    ),
    "no settings": (
        """DO $$ BEGIN EXECUTE format('ALTER FUNCTION %s RESET ALL',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_disclose')); END $$""",
        (RELEASE, "settings was changed"),
    ),
    "another owner of a function": (
        """DO $$ BEGIN EXECUTE format('ALTER FUNCTION %s OWNER TO admin',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_disclose')); END $$""",
        (RELEASE, "owner was changed"),
    ),
    "a function for PUBLIC": (
        """DO $$ BEGIN EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO PUBLIC',
            (SELECT oid::regprocedure FROM pg_proc WHERE proname = 'audit_disclose')); END $$""",
        (RELEASE, "grant of EXECUTE to PUBLIC is not of the migrations"),
    ),
    "one more function": (GUESS, ("function guess()", "is not of the migrations")),
    "one more table": (
        "CREATE TABLE vault_etl.copy AS SELECT 1 AS one",
        ("table copy", "is not of the migrations"),
    ),
    "a trigger less": (
        """DO $$ BEGIN EXECUTE (SELECT format('DROP TRIGGER %I ON vault_etl.audit_log', tgname)
            FROM pg_trigger WHERE tgrelid = 'vault_etl.audit_log'::regclass AND NOT tgisinternal LIMIT 1);
            END $$""",
        ("table audit_log: trigger ", "is missing"),
    ),
    "triggers off": (
        "ALTER TABLE vault_etl.audit_log DISABLE TRIGGER USER",
        ("table audit_log: trigger ", "was changed"),
    ),
    "a foreign key off": (
        "ALTER TABLE vault_etl.audit_disclosed DISABLE TRIGGER ALL",
        ("table audit_disclosed: a disabled trigger of a constraint", "is not of the migrations"),
    ),
    "a trigger more": (
        """CREATE TRIGGER z BEFORE INSERT ON vault_etl.audit_log FOR EACH ROW
            EXECUTE FUNCTION suppress_redundant_updates_trigger()""",
        ("table audit_log: trigger z", "is not of the migrations"),
    ),
    "a rule": (
        "CREATE RULE z AS ON INSERT TO vault_etl.audit_log DO INSTEAD NOTHING",
        ("table audit_log: rule z", "is not of the migrations"),
    ),
    "row security": (
        "ALTER TABLE vault_etl.data_keys ENABLE ROW LEVEL SECURITY",
        ("table data_keys: row security", "was changed"),
    ),
    "a policy": (
        "CREATE POLICY z ON vault_etl.data_keys USING (true)",
        ("table data_keys: policy z", "is not of the migrations"),
    ),
    "a ciphertext for analysts": (
        "GRANT SELECT ON vault_etl.user_logins TO vault_etl_analyst",
        ("table user_logins: grant of SELECT to vault_etl_analyst", "is not of the migrations"),
    ),
    "one column of it": (
        "GRANT SELECT (ip_ciphertext) ON vault_etl.user_logins TO vault_etl_analyst",
        ("grant of SELECT (ip_ciphertext) to vault_etl_analyst", "is not of the migrations"),
    ),
    "a grant less": (
        "REVOKE SELECT ON vault_etl.user_logins_masked FROM vault_etl_analyst",
        ("view user_logins_masked: grant of SELECT to vault_etl_analyst", "is missing"),
    ),
    "a view of more": (
        """DO $$ BEGIN EXECUTE 'CREATE OR REPLACE VIEW vault_etl.user_logins_masked AS '
            || rtrim(pg_get_viewdef('vault_etl.user_logins_masked'::regclass), ';') || ' LIMIT 0'; END $$""",
        ("view user_logins_masked: definition", "was changed"),
    ),
    "a check less": (
        "ALTER TABLE vault_etl.user_logins DROP CONSTRAINT user_logins_user_id_check",
        ("table user_logins: constraint user_logins_user_id_check", "is missing"),
    ),
    "an index less": (
        "DROP INDEX vault_etl.user_logins_masked_ip",
        ("table user_logins: index user_logins_masked_ip", "is missing"),
    ),
    "a column more": (
        "ALTER TABLE vault_etl.user_logins ADD COLUMN plain text",
        ("table user_logins: column plain", "is not of the migrations"),
    ),
    "a grant on one partition": (
        """DO $$ BEGIN EXECUTE (SELECT format('GRANT SELECT ON %s TO vault_etl_analyst', inhrelid::regclass)
            FROM pg_inherits WHERE inhparent = 'vault_etl.user_logins'::regclass LIMIT 1); END $$""",
        ("table user_logins_", "grant of SELECT to vault_etl_analyst is not of the migrations"),
    ),
    "a trigger on one partition": (
        """CREATE TRIGGER z BEFORE INSERT ON vault_etl.user_logins_undated FOR EACH ROW
            EXECUTE FUNCTION suppress_redundant_updates_trigger()""",
        ("table user_logins_undated: trigger z", "is not of the migrations"),
    ),
    "the schema for PUBLIC": (
        "GRANT CREATE ON SCHEMA vault_etl TO PUBLIC",
        ("schema vault_etl: grant of CREATE to PUBLIC", "is not of the migrations"),
    ),
    "a role that may make schemas": (
        """DO $$ BEGIN EXECUTE format(
            'GRANT CREATE ON DATABASE %I TO vault_etl_analyst', current_database()); END $$""",
        ("database: grant of CREATE to vault_etl_analyst", "is not of the migrations"),
    ),
    "another owner of the schema": (
        "ALTER SCHEMA vault_etl OWNER TO test_reveal",
        ("schema vault_etl: owner", "was changed"),
    ),
    "one of our roles owns the database": (
        """DO $$ BEGIN EXECUTE format(
            'ALTER DATABASE %I OWNER TO vault_etl_reveal', current_database()); END $$""",
        ("database: owner", "was changed"),
    ),
    "a function that hides in an extension": (
        f"{GUESS}; ALTER EXTENSION plpgsql ADD FUNCTION vault_etl.guess()",
        ("function guess()", "is not of the migrations"),
    ),
    "a view that hides in an extension": (
        "CREATE VIEW vault_etl.z AS SELECT 1 AS one; ALTER EXTENSION plpgsql ADD VIEW vault_etl.z",
        ("view z", "is not of the migrations"),
    ),
    "an access that counts as none": (
        """SET ROLE vault_etl_owner; ALTER TABLE vault_etl.audit_actions DISABLE TRIGGER USER;
            UPDATE vault_etl.audit_actions SET is_access = false WHERE action = 'reveal';
            ALTER TABLE vault_etl.audit_actions ENABLE TRIGGER USER""",
        ("table audit_actions: row of reveal", "was changed"),
    ),
    "an action for another role": (
        """SET ROLE vault_etl_owner; ALTER TABLE vault_etl.audit_actions DISABLE TRIGGER USER;
            UPDATE vault_etl.audit_actions SET roles = roles || '{vault_etl_rotate}' WHERE action = 'find';
            ALTER TABLE vault_etl.audit_actions ENABLE TRIGGER USER""",
        ("table audit_actions: row of find", "was changed"),
    ),
    "one more action": (
        """SET ROLE vault_etl_owner;
            INSERT INTO vault_etl.audit_actions (action, roles) VALUES ('z', '{vault_etl_reveal}')""",
        ("table audit_actions: row of z", "is not of the migrations"),
    ),
    "an action less": (
        """SET ROLE vault_etl_owner; ALTER TABLE vault_etl.audit_actions DISABLE TRIGGER USER;
            DELETE FROM vault_etl.audit_actions WHERE action = 'find';
            ALTER TABLE vault_etl.audit_actions ENABLE TRIGGER USER""",
        ("table audit_actions: row of find", "is missing"),
    ),
    "an index of one partition": (
        f"{OWNER}; CREATE UNIQUE INDEX z ON vault_etl.user_logins_undated (masked_ip)",
        ("table user_logins_undated: index z", "is not of the migrations"),
    ),
    "an index of one partition that is not valid": (
        """UPDATE pg_index SET indisvalid = false WHERE indexrelid = (
            SELECT indexrelid FROM pg_index WHERE indrelid = 'vault_etl.user_logins_undated'::regclass
                AND indisprimary)""",
        ("table user_logins_undated: index user_logins_pkey", "was changed"),
    ),
    "row security of one partition": (
        f"{OWNER}; ALTER TABLE vault_etl.user_logins_undated FORCE ROW LEVEL SECURITY",
        ("table user_logins_undated: row security", "was changed"),
    ),
    "a rule of one partition": (
        f"{OWNER}; CREATE RULE z AS ON INSERT TO vault_etl.user_logins_undated DO INSTEAD NOTHING",
        ("table user_logins_undated: rule z", "is not of the migrations"),
    ),
    "a constraint of one partition": (
        f"{OWNER}; ALTER TABLE vault_etl.user_logins_undated ADD CONSTRAINT z CHECK (user_id <> 'x')",
        ("table user_logins_undated: constraint z", "is not of the migrations"),
    ),
    "a month that was detached": (
        f"{OWNER}; ALTER TABLE vault_etl.user_logins DETACH PARTITION vault_etl.{THIS_MONTH}",
        (f"detached partition {THIS_MONTH}", "is not of the migrations"),
    ),
    "a month that is a part of another table": (
        f"""{OWNER}; ALTER TABLE vault_etl.user_logins DETACH PARTITION vault_etl.{THIS_MONTH};
            RESET ROLE; CREATE SCHEMA z; CREATE TABLE z.user_logins (LIKE vault_etl.user_logins)
                PARTITION BY RANGE (record_id);
            ALTER TABLE z.user_logins ATTACH PARTITION vault_etl.{THIS_MONTH} DEFAULT""",
        (f"detached partition {THIS_MONTH}", "is not of the migrations"),
    ),
    "a month with other bounds": (
        f"""{OWNER}; ALTER TABLE vault_etl.user_logins DETACH PARTITION vault_etl.{THIS_MONTH};
            ALTER TABLE vault_etl.user_logins ATTACH PARTITION vault_etl.{THIS_MONTH} DEFAULT""",
        (f"table user_logins: partition {THIS_MONTH}", "is not of the migrations"),
    ),
    "a partition more": (
        f"{OWNER}; CREATE TABLE vault_etl.z PARTITION OF vault_etl.user_logins DEFAULT",
        ("table user_logins: partition z", "is not of the migrations"),
    ),
}


def test_schema_json_is_current(scratch: Scratch) -> None:
    """The file says what the migrations make. If this fails: .venv/bin/python docs/generate_schema.py."""
    with scratch.database("admin") as opened:
        facts = PostgresSchema(opened, FOLDER, DEFAULT).facts()
    assert (FOLDER / FILE).read_text(encoding="utf-8") == facts_file(facts, FOLDER)


@pytest.mark.parametrize("role", ROLES)
def test_a_database_that_was_migrated_has_no_difference(shared: Scratch, role: str) -> None:
    """Every role may compare, and sees the same."""
    assert differences(shared, role) == []


@pytest.mark.parametrize(("attack", "named"), ATTACKS.values(), ids=ATTACKS.keys())
def test_a_changed_guard_is_named(scratch: Scratch, attack: str, named: tuple[str, str]) -> None:
    """The object, the aspect and the kind of difference are named, whichever statement changed it."""
    scratch.sql(with_months(attack))
    found = differences(scratch)
    parts = [with_months(part) for part in named]
    assert any(all(part in line for part in parts) for line in found), found


def test_a_cut_over_of_tokens_is_no_difference(scratch: Scratch) -> None:
    """Columns and indexes swap their names, and the view is made again."""
    ready(scratch)
    scratch.sql(CUT_OVER)
    assert differences(scratch) == []


def test_a_comparison_of_rows_runs_no_code_of_the_owner(scratch: Scratch) -> None:
    """A view in the place of the table would run with the rights of the login that compares."""
    scratch.sql(
        f"""{OWNER}; ALTER TABLE vault_etl.audit_actions RENAME TO z;
            CREATE FUNCTION vault_etl.trap() RETURNS text LANGUAGE plpgsql AS
                $$ BEGIN RAISE EXCEPTION 'ran as %', current_user; END $$;
            CREATE VIEW vault_etl.audit_actions AS SELECT vault_etl.trap() AS action;
            GRANT SELECT ON vault_etl.audit_actions TO PUBLIC"""
    )
    found = differences(scratch, "admin")
    assert "table audit_actions is missing" in found
    assert "view audit_actions is not of the migrations" in found


def test_the_commands_name_every_difference(bare_vault: Vault) -> None:
    """`doctor` and `migrate --check` of a login without rights exit 78 and name every difference."""
    bare_vault.sql(GUESS)
    bare_vault.sql("ALTER TABLE vault_etl.audit_log DISABLE TRIGGER USER")
    checked = bare_vault.run("analyst", "migrate", "--check")
    lines = bare_vault.run("analyst", "doctor").lines
    told = {line["detail"]: line["hint"] for line in lines if line["check"] == "schema"}
    assert checked.code == 78
    for shown in (checked.stderr, *["; ".join(told)]):
        assert "function guess() is not of the migrations" in shown
        assert "table audit_log: trigger audit_is_append_only was changed" in shown
    assert "DROP" in told["function guess() is not of the migrations"]
    assert "migration" in told["table audit_log: trigger audit_is_append_only was changed"]
