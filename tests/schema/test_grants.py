"""Each role has exactly the rights on each object that tests/kit/rights.py lists (docs/design.md, Roles)."""

from __future__ import annotations

import contextlib
import uuid

import psycopg2
import pytest

from tests.kit.entries import append_committed
from tests.kit.rights import EVERYONE, RIGHTS, rights
from tests.kit.scratch import Scratch
from vault_etl.audit.postgres import PostgresAuditLog
from vault_etl.base.errors import DeniedError
from vault_etl.quarantine.postgres import PostgresQuarantineReader

NEXT = ("next_masked_ip", "next_masked_device_id", "token_generation", "next_token_generation")
CUT_OVER = "SELECT vault_etl.token_cut_over(gen_random_uuid(), 'a', 'h', 'r', 2::smallint)"


@pytest.mark.parametrize("role", RIGHTS)
def test_a_role_has_its_rights_and_no_other(shared: Scratch, role: str) -> None:
    """The rights on every table, column, function and the database are those of tests/kit/rights.py."""
    assert rights(shared, f"vault_etl_{role}") == RIGHTS[role] | EVERYONE


@pytest.mark.parametrize("role", RIGHTS)
def test_a_login_has_the_rights_of_its_role(shared: Scratch, role: str) -> None:
    """A login that is granted a role has its rights at once, without SET ROLE."""
    assert rights(shared, f"test_{role}") == RIGHTS[role] | EVERYONE


def test_public_may_only_read_which_migrations_were_run(shared: Scratch) -> None:
    """PUBLIC has rights on a few tables, which only our roles reach, and no other right of ours."""
    assert rights(shared, "public") == EVERYONE


def test_there_is_no_other_role(shared: Scratch) -> None:
    """A role that a migration adds must be added to tests/kit/rights.py."""
    roles = shared.sql("SELECT rolname FROM pg_roles WHERE rolname LIKE 'vault\\_etl\\_%'")
    assert {name for (name,) in roles} == {f"vault_etl_{role}" for role in (*RIGHTS, "owner")}


def test_roles_carry_no_login_no_powers_and_no_membership(shared: Scratch) -> None:
    """A group role cannot log in, create, replicate or bypass; the owner may see what sessions do."""
    assert not shared.sql(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE 'vault\\_etl\\_%' AND (rolcanlogin"
        " OR rolsuper OR rolinherit OR rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls)"
    )
    memberships = shared.sql(
        "SELECT member::regrole::text, roleid::regrole::text FROM pg_auth_members"
        " WHERE member::regrole::text LIKE 'vault\\_etl%'"
    )
    assert memberships == [("vault_etl_owner", "pg_read_all_stats")]


def test_only_re_encrypt_may_read_a_ciphertext(shared: Scratch) -> None:
    """Of all roles, re-encrypt alone can SELECT a column that holds a ciphertext."""
    readers = shared.sql(
        "SELECT DISTINCT rolname FROM pg_attribute, pg_roles WHERE attname LIKE '%ciphertext'"
        " AND attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'vault_etl'::regnamespace)"
        " AND rolname LIKE 'vault_etl_%' AND rolname <> 'vault_etl_owner'"
        " AND has_column_privilege(rolname, attrelid, attnum, 'SELECT')"
    )
    assert {name for (name,) in readers} == {"vault_etl_re_encrypt"}


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("reveal", "SELECT record_id FROM vault_etl.user_logins"),
        ("reveal", "SELECT count(*) FROM vault_etl.user_logins"),
        ("reveal", "SELECT count(*) FROM vault_etl.user_logins_masked"),
        ("reveal", "SELECT xmin FROM vault_etl.user_logins_undated"),
        ("reveal", "EXPLAIN SELECT 1 FROM vault_etl.user_logins"),
        ("reveal", "COPY vault_etl.user_logins TO STDOUT"),
        ("reveal", "BEGIN; LOCK TABLE vault_etl.user_logins IN ACCESS SHARE MODE"),
        ("reveal", "SELECT search FROM vault_etl.audit_disclosed"),
        ("reveal", "SELECT * FROM vault_etl.audit_amounts"),
        ("reveal", "SELECT vault_etl.audit_intent(1, '{find}')"),
        ("reveal", "SELECT vault_etl.audit_use(1, NULL)"),
        ("reveal", "SELECT body_ciphertext FROM vault_etl.quarantine"),
        ("analyst", "SELECT token_generation FROM vault_etl.user_logins"),
        ("analyst", "SELECT xmin FROM vault_etl.user_logins"),
        ("analyst", "SELECT record_id FROM vault_etl.user_logins_undated"),
        ("ingest", "SELECT user_id FROM vault_etl.user_logins"),
        ("ingest", "INSERT INTO vault_etl.user_logins DEFAULT VALUES RETURNING ip_ciphertext"),
        ("ingest", "BEGIN; LOCK TABLE vault_etl.key_fence IN SHARE ROW EXCLUSIVE MODE"),
        ("reveal", "BEGIN; LOCK TABLE vault_etl.key_fence IN ACCESS SHARE MODE"),
        ("audit", "BEGIN; LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE"),
        *(
            (role, f"UPDATE vault_etl.data_keys SET {change}")  # noqa: S608
            for role in ("rotate", "re-encrypt", "ingest")
            for change in ("created_by = 'x'", "state = 'destroyed'", "wrapped_key = 'x'")
        ),
        *(
            (role, f"INSERT INTO vault_etl.data_keys (key_id, {column}) VALUES (1, DEFAULT)")  # noqa: S608
            for role in ("rotate", "re-encrypt")
            for column in ("purpose", "state", "generation")
        ),
        ("rotate", "INSERT INTO vault_etl.data_keys (key_id) VALUES (1)"),
        ("rotate", "SELECT vault_etl.keys_init(NULL, NULL, NULL, '[]')"),
        ("rotate", "SELECT vault_etl.token_keys_begin(NULL, NULL, NULL, '[]')"),
        ("rotate", "SELECT vault_etl.token_keys_abort(NULL, NULL, NULL)"),
        ("re-encrypt", "SELECT vault_etl.key_change_write(NULL, NULL, NULL, NULL, NULL, NULL)"),
        ("re-encrypt", "SELECT vault_etl.keys_changed(NULL, NULL, NULL, NULL, NULL)"),
        ("re-encrypt", "SELECT vault_etl.keys_insert('[]', 'active')"),
        ("audit", "INSERT INTO vault_etl.key_changes DEFAULT VALUES"),
        ("rotate", "DELETE FROM vault_etl.data_keys"),
        ("rotate", "SELECT record_id FROM vault_etl.user_logins"),
        ("rotate", "SELECT count(*) FROM vault_etl.quarantine"),
        ("rotate", "UPDATE vault_etl.user_logins SET ip_ciphertext = NULL"),
        ("rotate", "UPDATE vault_etl.quarantine SET body_ciphertext = NULL"),
        ("rotate", "SELECT vault_etl.ciphertext_key_id('x')"),
        ("re-encrypt", "UPDATE vault_etl.user_logins SET user_id = 'another user'"),
        ("rotate", "DELETE FROM vault_etl.quarantine"),
        ("rotate", "INSERT INTO vault_etl.user_logins DEFAULT VALUES"),
        ("re-encrypt", "UPDATE vault_etl.quarantine SET reason_code = 'not_json'"),
        ("re-encrypt", "INSERT INTO vault_etl.quarantine DEFAULT VALUES"),
        ("re-encrypt", "UPDATE vault_etl.user_logins SET masked_ip = NULL"),
        ("re-encrypt", "UPDATE vault_etl.user_logins SET token_generation = 2"),
        ("re-encrypt", "DELETE FROM vault_etl.user_logins"),
        ("ingest", "DELETE FROM vault_etl.quarantine"),
        ("reveal", "DELETE FROM vault_etl.quarantine"),
        ("rotate", "SELECT * FROM vault_etl.audit_log"),
        ("audit", "SELECT * FROM vault_etl.audit_disclosed"),
        ("audit", "INSERT INTO vault_etl.audit_checkpoints DEFAULT VALUES"),
        ("audit", "INSERT INTO vault_etl.audit_keys VALUES (1, 'note')"),
        ("audit", "SELECT vault_etl.reveal_policy_set(NULL, NULL, NULL, NULL, NULL)"),
        ("reveal", "SELECT * FROM vault_etl.reveal_policies"),
        ("reveal", "SELECT vault_etl.audit_denial('find', '{}', NULL, NULL, NULL)"),
        (
            "reveal",
            "SELECT vault_etl.audit_register_key(NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)",
        ),
        ("erase", "SELECT record_id FROM vault_etl.user_logins"),
        ("rotate", "SELECT * FROM vault_etl.rotation_ranges"),
        ("rotate", "DELETE FROM vault_etl.key_rotations"),
        ("re-encrypt", "UPDATE vault_etl.key_rotations SET old_keys = '{}'"),
        ("re-encrypt", "DELETE FROM vault_etl.rotation_ranges"),
        (
            "re-encrypt",
            "UPDATE vault_etl.rotation_ranges SET claimed_until = now() + interval '1 day'",
        ),
        ("re-encrypt", "UPDATE vault_etl.rotation_ranges SET claim = gen_random_uuid()"),
        (
            "re-encrypt",
            "INSERT INTO vault_etl.rotation_ranges (rotation_id, claim) VALUES (gen_random_uuid(), gen_random_uuid())",
        ),
        ("re-encrypt", "ALTER VIEW vault_etl.user_logins_masked OWNER TO test_re_encrypt"),
        ("re-encrypt", "SET deadlock_timeout = '50ms'"),
        ("re-encrypt", "SELECT vault_etl.token_cut_over_wait(now())"),
        *(
            ("analyst", f"CREATE TABLE {schema}.x ()")
            for schema in ("vault_etl", "vault_etl_detached")
        ),
        *((role, CUT_OVER) for role in ("ingest", "reveal", "rotate", "erase", "audit", "analyst")),
    ],
)
def test_a_statement_beyond_the_rights_of_a_role_is_denied(
    shared: Scratch, role: str, statement: str
) -> None:
    """A way around a missing right ends in SQLSTATE 42501."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shared.sql(statement, role=role)


@pytest.mark.parametrize(
    "column",
    ["purpose", "state", "created_by", "created_at", "retired_at", "destroyed_at", "generation"],
)
def test_ingest_makes_active_data_keys_in_its_own_name_only(shared: Scratch, column: str) -> None:
    """Ingest names neither purpose nor state nor maker of a key, not even with the default."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shared.sql(
            f"INSERT INTO vault_etl.data_keys (key_id, field, kms_key_arn, {column}, wrapped_key,"  # noqa: S608
            " fingerprint, expires_at) VALUES (1, 'ip', 'a', DEFAULT, 'b', '8 bytes!', now())",
            role="ingest",
        )


@pytest.mark.parametrize("statement", ["DELETE FROM {}", "UPDATE {} SET seq = 1", "TRUNCATE {}"])
@pytest.mark.parametrize("role", RIGHTS)
def test_no_role_changes_the_audit_log(shared: Scratch, role: str, statement: str) -> None:
    """UPDATE, DELETE and TRUNCATE of the log are denied to every role."""
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shared.sql(
            statement.format(
                "vault_etl.audit_log CASCADE" if "TRUNC" in statement else "vault_etl.audit_log"
            ),
            role=role.replace("_", "-"),
        )


def test_a_login_that_does_not_inherit_acts_by_set_role(shared: Scratch) -> None:
    """A NOINHERIT login is denied until its own setting makes it act as its role. Entries then name the login."""
    password = shared.server.passwords.of("test_shy")
    shared.sql(
        f"CREATE ROLE test_shy LOGIN NOINHERIT PASSWORD '{password}';"
        "GRANT vault_etl_ingest, vault_etl_reveal TO test_shy"
    )
    try:
        for may_act in (False, True):
            if may_act:
                shared.sql("ALTER ROLE test_shy SET role = 'vault_etl_reveal'")
            with shared.database("shy") as database:
                reader = PostgresQuarantineReader(database)
                with contextlib.nullcontext() if may_act else pytest.raises(DeniedError):
                    PostgresAuditLog(database).check_role("vault_etl_reveal")
                with contextlib.nullcontext() if may_act else pytest.raises(DeniedError):
                    assert reader.row(uuid.uuid4()) is None
        assert entry_login(shared) == "test_shy"
    finally:
        shared.sql("DROP ROLE test_shy")


def entry_login(database: Scratch) -> str:
    """Return the login of an entry that `test_shy` makes."""
    seq = append_committed(database, "shy")
    return str(database.value("SELECT login FROM audit_log WHERE seq = %s", seq))
