"""A cut-over keeps the rights and views of every name, from any grantor; or the cut-over is refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.cut_over import Ready, filled_token, state
from tests.kit.declared import PERSONAL_FIELDS
from tests.kit.months import with_months
from tests.kit.rights import RIGHTS, rights
from tests.kit.scratch import Scratch
from vault_etl.base.errors import ConfigurationError

COLUMN_RIGHTS = """
SELECT a.attrelid::regclass::text, a.attname::text,
    CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_get_userbyid(acl.grantee)::text END,
    acl.privilege_type, bool_or(acl.is_grantable)
FROM pg_attribute AS a, aclexplode(a.attacl) AS acl
WHERE a.attrelid::regclass::text LIKE 'user\\_logins%' GROUP BY 1, 2, 3, 4
"""
VIEW = """
SELECT c.relacl::text, c.reloptions, c.relowner::regrole::text, pg_get_viewdef(c.oid),
    ARRAY(
        SELECT (attname, atttypid::regtype, attacl, col_description(c.oid, attnum))::text
        FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0 ORDER BY attnum
    )
FROM pg_class AS c WHERE c.oid = 'vault_etl.user_logins_masked'::regclass
"""


@pytest.fixture
def vault(to_cut_over: Ready) -> Ready:
    """A vault that is ready for a cut-over."""
    return to_cut_over


@pytest.fixture
def people(vault: Ready) -> Iterator[Scratch]:
    """Two roles of a DBA, whose names need quotes."""
    scratch = vault.scratch
    scratch.sql('CREATE ROLE "test DBA"; CREATE ROLE "test ""guest"""')
    scratch.sql('GRANT USAGE ON SCHEMA vault_etl TO "test DBA", "test ""guest"""')
    yield scratch
    scratch.sql(
        'DROP OWNED BY "test DBA", "test ""guest"""; DROP ROLE "test DBA", "test ""guest"""'
    )


def test_our_roles_keep_their_rights(vault: Ready) -> None:
    """The rights of each role and of PUBLIC by name, on every object, are the same as before."""
    roles = [*(f"vault_etl_{role}" for role in RIGHTS), "public"]
    before = {role: rights(vault.scratch, role) for role in roles}
    vault.swap()
    for role in roles:
        assert rights(vault.scratch, role) == before[role], role


GRANTS = {
    "one column": 'GRANT SELECT (masked_ip) ON user_logins TO "test DBA"',
    "its twin": 'GRANT SELECT (next_masked_ip) ON user_logins TO "test DBA"',
    "several rights": (
        "GRANT SELECT (masked_ip, user_id, token_generation), UPDATE (next_masked_device_id),"
        ' INSERT (masked_device_id), REFERENCES (masked_ip) ON user_logins TO "test ""guest"""'
    ),
    "to hand on": 'GRANT SELECT (masked_device_id) ON user_logins TO "test DBA" WITH GRANT OPTION',
    "to hand on, and not": (
        'GRANT SELECT (masked_ip) ON user_logins TO "test DBA" WITH GRANT OPTION;'
        'GRANT SELECT (next_masked_ip) ON user_logins TO "test DBA", "test ""guest"""'
    ),
    "handed on": (
        'GRANT SELECT (masked_ip) ON user_logins TO "test DBA" WITH GRANT OPTION;'
        'SET ROLE "test DBA"; GRANT SELECT (masked_ip) ON user_logins TO "test ""guest"""'
    ),
    "handed on in a ring": (
        'GRANT SELECT (masked_ip) ON user_logins TO "test DBA", "test ""guest""" WITH GRANT OPTION;'
        'SET ROLE "test DBA"; GRANT SELECT (masked_ip) ON user_logins TO "test ""guest""", PUBLIC'
    ),
    "public": "GRANT SELECT (masked_ip, next_masked_device_id) ON user_logins TO PUBLIC",
    "the table": 'GRANT SELECT ON user_logins TO "test DBA"',
    "a partition": (
        'GRANT SELECT (masked_ip), UPDATE (next_masked_ip) ON <month 0> TO "test DBA";'
        "GRANT SELECT (token_generation) ON <month -1> TO PUBLIC"
    ),
    "a partition, handed on": (
        'GRANT SELECT (masked_ip) ON <month 0> TO "test DBA" WITH GRANT OPTION;'
        'SET ROLE "test DBA"; GRANT SELECT (masked_ip) ON <month 0> TO vault_etl_analyst'
    ),
}


@pytest.mark.parametrize("grant", GRANTS.values(), ids=GRANTS)
def test_rights_of_other_roles_stay_with_the_name(
    vault: Ready, people: Scratch, grant: str
) -> None:
    """With and without the grant option, to PUBLIC, on partitions, and passed on to others."""
    assert people is vault.scratch
    vault.scratch.sql(with_months(grant))
    before = vault.scratch.sql(COLUMN_RIGHTS)
    vault.swap()
    assert set(vault.scratch.sql(COLUMN_RIGHTS)) == set(before)


def test_rights_of_the_view_stay(vault: Ready, people: Scratch) -> None:
    """Rights on the view and on its columns stay, with its options, comments, names and their order."""
    people.sql(
        'GRANT SELECT ON user_logins_masked TO "test DBA" WITH GRANT OPTION;'
        'GRANT SELECT (masked_ip) ON user_logins_masked TO "test ""guest""";'
        "COMMENT ON COLUMN user_logins_masked.masked_ip IS 'a token';"
        "ALTER VIEW user_logins_masked SET (security_barrier = true)"
    )
    before = people.sql(VIEW)
    vault.swap()
    assert people.sql(VIEW) == before


def test_the_view_shows_the_new_tokens(vault: Ready) -> None:
    """`SELECT *` as the analyst: the same columns in the same order, and the next tokens in them."""
    scratch, everything = (
        vault.scratch,
        "SELECT * FROM vault_etl.user_logins_masked ORDER BY record_id",
    )
    before = scratch.sql(everything, role="analyst")
    vault.swap()
    assert scratch.sql(everything, role="analyst") == [
        (*row[:3], filled_token(row[3]), filled_token(row[4]), *row[5:]) for row in before
    ]


def test_a_narrowed_view_stays_narrow(vault: Ready) -> None:
    """A condition that a DBA added to the analysts' view stays."""
    scratch, narrow = vault.scratch, "SELECT count(*), min(tag) FROM user_logins_masked"
    scratch.sql(
        "CREATE OR REPLACE VIEW user_logins_masked AS SELECT record_id, user_id, device_type, masked_ip,"
        " masked_device_id, locale, app_version, create_date, event_time, 'x' AS tag FROM user_logins"
        " WHERE masked_ip IS NOT NULL AND record_id > '00000001-0000-0000-0000-000000000000'"
    )
    assert scratch.sql(narrow, role="analyst") == [(3, "x")]
    before = scratch.sql(VIEW)
    vault.swap()
    assert scratch.sql(VIEW) == before
    assert scratch.sql(narrow, role="analyst") == [(3, "x")]


def test_objects_that_depend_on_the_view_keep_working(vault: Ready) -> None:
    """A view on the view shows the new tokens; so does a function that names its columns."""
    scratch = vault.scratch
    scratch.sql(
        "CREATE VIEW shared_devices AS SELECT masked_device_id, masked_ip, count(*) AS logins"
        " FROM user_logins_masked GROUP BY 1, 2;"
        "CREATE VIEW twice AS SELECT * FROM shared_devices;"
        "CREATE FUNCTION ips() RETURNS SETOF uuid BEGIN ATOMIC"
        " SELECT DISTINCT masked_ip FROM user_logins_masked; END"
    )
    vault.swap()
    ip, device_id = (filled_token(vault.records[0].tokens[field]) for field in PERSONAL_FIELDS)
    assert scratch.sql("SELECT * FROM twice") == [(device_id, ip, 4)]
    assert scratch.sql("SELECT * FROM ips()") == [(ip,)]


def test_functions_that_name_columns_at_run_time_keep_working(vault: Ready) -> None:
    """Functions with their body in a string, and functions that take the whole row."""
    scratch = vault.scratch
    scratch.sql(
        "CREATE FUNCTION ips() RETURNS SETOF uuid LANGUAGE sql"
        " AS 'SELECT DISTINCT masked_ip FROM vault_etl.user_logins';"
        "CREATE FUNCTION devices() RETURNS SETOF uuid LANGUAGE plpgsql AS"
        " 'BEGIN RETURN QUERY SELECT DISTINCT masked_device_id FROM vault_etl.user_logins; END';"
        "CREATE VIEW whole AS SELECT to_jsonb(r) AS r FROM user_logins AS r;"
        "CREATE VIEW users AS SELECT DISTINCT user_id FROM user_logins"
    )
    calls = "SELECT DISTINCT ips, devices, r ->> 'masked_ip' FROM ips(), devices(), whole"
    with scratch.connect() as connection, connection.cursor() as cursor:
        cursor.execute(calls)
        connection.commit()
        vault.swap()
        cursor.execute(calls)
        ip, device_id = (filled_token(vault.records[0].tokens[field]) for field in PERSONAL_FIELDS)
        assert cursor.fetchall() == [(ip, device_id, str(ip))]


DEPENDENTS = [
    pytest.param(
        "CREATE VIEW mine AS SELECT masked_ip FROM user_logins", "view vault_etl.mine", id="a view"
    ),
    pytest.param(
        "CREATE VIEW mine AS SELECT next_masked_ip FROM user_logins",
        "view vault_etl.mine",
        id="a view of old tokens",
    ),
    pytest.param(
        "CREATE VIEW mine AS SELECT (r).masked_ip FROM (SELECT r FROM user_logins AS r) AS t",
        "view vault_etl.mine",
        id="a field of the whole row",
    ),
    pytest.param(
        "CREATE VIEW mine AS SELECT user_id FROM user_logins WHERE token_generation = 1",
        "view vault_etl.mine",
        id="a condition",
    ),
    pytest.param(
        "CREATE VIEW mine AS SELECT masked_device_id FROM <month 0>",
        "view vault_etl.mine",
        id="a view of a partition",
    ),
    pytest.param(
        "CREATE MATERIALIZED VIEW mine AS SELECT masked_ip, count(*) FROM user_logins GROUP BY 1",
        "materialized view vault_etl.mine",
        id="a materialized view",
    ),
    pytest.param(
        "CREATE FUNCTION mine() RETURNS bigint BEGIN ATOMIC"
        " SELECT count(DISTINCT masked_ip) FROM user_logins; END",
        "function vault_etl.mine()",
        id="a function",
    ),
    pytest.param(
        "CREATE POLICY mine ON user_logins TO vault_etl_analyst USING (masked_ip IS NOT NULL)",
        "policy mine on table vault_etl.user_logins",
        id="a policy",
    ),
    pytest.param(
        "CREATE TRIGGER mine AFTER UPDATE OF masked_ip ON user_logins FOR EACH ROW"
        " EXECUTE FUNCTION vault_etl.audit_is_append_only()",
        "trigger mine on table vault_etl.user_logins",
        id="a trigger",
    ),
    pytest.param(
        "ALTER TABLE user_logins ADD CONSTRAINT mine CHECK (masked_ip <> masked_device_id)",
        "constraint mine on table vault_etl.user_logins",
        id="a constraint",
    ),
    pytest.param(
        "CREATE STATISTICS mine ON masked_ip, user_id FROM user_logins",
        "statistics object vault_etl.mine",
        id="statistics",
    ),
    pytest.param(
        "CREATE RULE mine AS ON UPDATE TO user_logins_masked DO INSTEAD"
        " UPDATE user_logins SET masked_ip = NULL WHERE record_id = NEW.record_id",
        "rule mine on view vault_etl.user_logins_masked",
        id="a rule of the view",
    ),
]


@pytest.mark.parametrize(("made", "named"), DEPENDENTS)
def test_an_object_that_depends_on_the_columns_is_named(
    vault: Ready, made: str, named: str
) -> None:
    """An object of any kind would keep the old tokens: no state changes until the object is dropped."""
    scratch = vault.scratch
    scratch.sql(with_months(made))
    before = state(scratch)
    with pytest.raises(ConfigurationError, match="depend on the token columns") as refused:
        vault.cut_over()
    assert named in str(refused.value)
    assert state(scratch) == before


def test_all_dependent_objects_are_named(vault: Ready) -> None:
    """An operator can drop all of them in one step; then the cut-over succeeds."""
    scratch = vault.scratch
    scratch.sql(
        "CREATE VIEW one AS SELECT masked_ip FROM user_logins;"
        "CREATE VIEW two AS SELECT next_masked_device_id FROM user_logins"
    )
    with pytest.raises(ConfigurationError, match=r"view vault_etl.one, .*view vault_etl.two"):
        vault.cut_over()
    scratch.sql("DROP VIEW one, two")
    vault.swap()


def test_an_index_of_another_role_does_not_block(vault: Ready) -> None:
    """The index stays with its column."""
    vault.scratch.sql("CREATE INDEX mine ON user_logins (masked_ip, create_date)")
    vault.swap()
    definition = vault.scratch.value("SELECT indexdef FROM pg_indexes WHERE indexname = 'mine'")
    assert "(next_masked_ip, create_date)" in definition
