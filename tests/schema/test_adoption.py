"""A database that was in use before vault-etl: objects in the way are named, and its table of logins can be kept."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.kit.adopted import BOTH, EXERCISE
from tests.kit.databases import admin, empty
from tests.kit.vault import Vault
from tests.kit.waiting import until
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Provisioned

IN_THE_WAY = {
    "table public.user_logins_2026_11": "CREATE TABLE user_logins_2026_11 ()",
    "view public.data_keys": "CREATE VIEW data_keys AS SELECT 1",
    "type public.audit_log": "CREATE TYPE audit_log AS ENUM ()",
    "type public.key_fence": "CREATE TYPE key_fence AS (a int)",
    "function public.erase": "CREATE FUNCTION erase() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "sequence public.quarantine": "CREATE SEQUENCE quarantine",
}
RUNS_CODE = "it has a trigger, a rule or a policy, or uses a type or a function that is not"
CALLED = "CREATE FUNCTION called(text) RETURNS boolean IMMUTABLE LANGUAGE sql AS 'SELECT true'"
UNCALLED = "ALTER TABLE user_logins DROP IF EXISTS extra; DROP FUNCTION called CASCADE"
NOT_ADOPTED = (
    (
        "ALTER TABLE user_logins RENAME masked_ip TO ip_hash",
        "no column masked_ip",
        "ALTER TABLE user_logins RENAME ip_hash TO masked_ip",
    ),
    ("CREATE SCHEMA adopted", "there is a schema `adopted` already", "DROP SCHEMA adopted"),
    ("CREATE TABLE more () INHERITS (user_logins)", "part of another one", "DROP TABLE more"),
    (
        "CREATE DOMAIN word AS text; ALTER TABLE user_logins ALTER locale TYPE word",
        RUNS_CODE,
        "ALTER TABLE user_logins ALTER locale TYPE text; DROP DOMAIN word",
    ),
    (
        "ALTER TABLE user_logins ENABLE ROW LEVEL SECURITY",
        RUNS_CODE,
        "ALTER TABLE user_logins DISABLE ROW LEVEL SECURITY",
    ),
    (
        "CREATE POLICY own ON user_logins USING (true)",
        RUNS_CODE,
        "DROP POLICY own ON user_logins",
    ),
    (
        "CREATE RULE none AS ON DELETE TO user_logins DO INSTEAD NOTHING",
        RUNS_CODE,
        "DROP RULE none ON user_logins",
    ),
    (
        "CREATE TRIGGER own BEFORE UPDATE ON user_logins EXECUTE FUNCTION tsvector_update_trigger()",
        RUNS_CODE,
        "DROP TRIGGER own ON user_logins",
    ),
    *(
        (f"{CALLED}; ALTER TABLE user_logins {made}", RUNS_CODE, UNCALLED)
        for made in (
            "ADD CHECK (called(user_id))",
            "ADD extra boolean DEFAULT called('')",
            "ADD extra boolean GENERATED ALWAYS AS (called(user_id)) STORED",
            "ADD EXCLUDE (app_version WITH =) WHERE (called(''))",
        )
    ),
    (
        f"{CALLED}; CREATE INDEX ON user_logins (app_version) WHERE called('')",
        RUNS_CODE,
        UNCALLED,
    ),
)
SHOP = "shop_of_the_tests"
IN_ITS_PLACE = """
CREATE TABLE public.vault_etl_migrations (name text, checksum text);
CREATE FUNCTION public.take() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.caught VALUES (current_user);
    RETURN NEW;
END
$$;
CREATE TRIGGER take BEFORE INSERT ON public.vault_etl_migrations FOR EACH ROW EXECUTE FUNCTION public.take();
GRANT ALL ON public.vault_etl_migrations TO PUBLIC
"""
WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def used(
    postgres: RunningPostgres, moto: tuple[str, Provisioned], tmp_path: Path
) -> Iterator[Vault]:
    """A database that was not migrated, for the real command."""
    with empty(postgres) as database:
        yield Vault(postgres, database.name, *moto, tmp_path)


@pytest.fixture
def shop(postgres: RunningPostgres) -> Iterator[str]:
    """A role without a login, which owns the table."""
    with admin(postgres, "postgres") as cursor:
        cursor.execute(f"CREATE ROLE {SHOP}")
    yield SHOP
    with admin(postgres, "postgres") as cursor:
        cursor.execute(f"DROP ROLE {SHOP}")


def test_a_table_of_logins_is_adopted(used: Vault, shop: str) -> None:
    """The error names the owner of the table. After adoption its rows stay, and analysts see both kinds of rows."""
    used.sql(EXERCISE)
    used.sql("ALTER TABLE user_logins ADD ip text DEFAULT '198.51.100.7'")
    used.sql(f"ALTER TABLE user_logins OWNER TO {shop}")
    used.sql("CREATE INDEX user_logins_create_date ON user_logins (create_date)")  # a name of ours
    refused = used.run("admin", "migrate")
    assert refused.code == 78
    assert (
        f"in the way of the migrations: table public.user_logins, which belongs to {shop}"
        in refused.stderr
    )
    assert "vault-etl migrate --adopt" in refused.stderr
    assert used.sql("SELECT count(*) FROM user_logins") == [(2,)]

    done = used.ok("admin", "migrate", "--adopt").json
    assert done["adopted"] == "adopted.user_logins"
    assert done["applied"]
    assert used.ok("admin", "migrate", "--adopt").json == {"applied": [], "adopted": None}
    assert used.ok("admin", "migrate", "--check").json == {"applied": []}
    assert used.sql("SELECT tableowner FROM pg_tables WHERE schemaname = 'adopted'") == [("admin",)]
    hashes = ("unkeyed hash", "u1", "a" * 64, "b" * 64, "230", "2026-11-01", None)
    nothing = ("unkeyed hash", None, "c", "d", "1", None, None)
    assert used.sql(BOTH, role="analyst") == [hashes, nothing]
    with pytest.raises(Exception, match="permission denied for table user_logins"):
        used.sql("SELECT ip FROM adopted.user_logins", role="analyst")
    for role in ("ingest", "reveal", "re-encrypt", "rotate", "audit", "erase"):
        with pytest.raises(Exception, match="permission denied for schema adopted"):
            used.sql(BOTH, role=role)
    used.sql("DROP VIEW adopted.user_logins_all")
    used.sql("DROP TABLE adopted.user_logins")


def test_an_object_in_the_way_is_named(used: Vault) -> None:
    """Its kind, name and owner are named, nothing is changed, and adoption does not help."""
    for made in IN_THE_WAY.values():
        used.sql(made)
    for args in ((), ("--adopt",)):
        result = used.run("admin", "migrate", *args)
        assert result.code == 78
        for named in IN_THE_WAY:
            assert f"{named}, which belongs to admin" in result.stderr
        assert "--adopt" not in result.stderr
    assert used.sql("SELECT to_regclass('public.vault_etl_migrations')") == [(None,)]
    used.sql("GRANT CREATE ON SCHEMA public TO test_analyst")
    granted = used.run("admin", "migrate")
    assert "right to create in the schema public, of test_analyst" in granted.stderr
    used.sql("ALTER SCHEMA public RENAME TO old")
    used.sql("ALTER ROLE vault_etl_erase LOGIN")
    try:
        missing = used.run("admin", "migrate")
    finally:
        used.sql("ALTER ROLE vault_etl_erase NOLOGIN")
    assert missing.code == 78
    assert "schema public, which is not there" in missing.stderr
    assert "role vault_etl_erase, which may log in" in missing.stderr


def test_another_kind_of_table_is_not_adopted(used: Vault) -> None:
    """The error says why, and nothing is changed."""
    used.sql(EXERCISE)
    for made, why, undone in NOT_ADOPTED:
        used.sql(made)
        result = used.run("admin", "migrate", "--adopt")
        assert (result.code, why in result.stderr) == (78, True), result.stderr
        assert used.sql("SELECT count(*) FROM public.user_logins") == [(2,)]
        used.sql(undone)


def test_a_table_of_another_owner_is_left(
    used: Vault, shop: str, postgres: RunningPostgres
) -> None:
    """A login that is not a member of the owner is told what to grant. Then it migrates without being a superuser."""
    used.sql(EXERCISE)
    used.sql(f"ALTER TABLE user_logins OWNER TO {shop}")
    deployer = "test_analyst"
    with admin(postgres, "postgres") as cursor:
        cursor.execute(f'ALTER DATABASE "{used.database}" OWNER TO {deployer}')
        cursor.execute(f"GRANT vault_etl_owner TO {deployer} WITH SET TRUE")
    try:
        used.sql(f"ALTER SCHEMA public OWNER TO {shop}")
        result = used.run("analyst", "migrate")
        assert result.code == 77
        assert f"the schema public belongs to {shop}" in result.stderr
        used.sql(f"GRANT CREATE ON SCHEMA public TO {deployer} WITH GRANT OPTION")
        assert used.run("analyst", "migrate").code == 77, "its owner could drop our tables"
        assert used.run("admin", "migrate").code == 77
        used.sql("ALTER SCHEMA public OWNER TO pg_database_owner")
        result = used.run("analyst", "migrate", "--adopt")
        assert result.code == 77
        assert f"public.user_logins belongs to {shop}" in result.stderr
        used.sql(f"GRANT {shop} TO {deployer}")
        assert used.ok("analyst", "migrate", "--adopt").json["adopted"] == "adopted.user_logins"
        assert len(used.sql(BOTH, role="analyst")) == 2
    finally:
        used.sql("DROP SCHEMA IF EXISTS adopted CASCADE")
        used.sql("DROP TABLE IF EXISTS public.user_logins CASCADE")
        with admin(postgres, "postgres") as cursor:
            cursor.execute(f"REVOKE vault_etl_owner FROM {deployer}")


def test_a_login_that_may_create_in_public_runs_no_code_in_a_migration(used: Vault) -> None:
    """A table that it puts in the place of the table of migrations, between check and use, runs no code."""
    used.sql("GRANT CREATE ON SCHEMA public TO PUBLIC")  # as before PostgreSQL 15
    used.sql("CREATE TABLE public.caught (what text); GRANT ALL ON public.caught TO PUBLIC")
    with (
        closing(psycopg2.connect(used.database_url("analyst"))) as neighbour,
        neighbour.cursor() as cursor,
    ):
        cursor.execute(IN_ITS_PLACE)
        with ThreadPoolExecutor(1) as beside:
            migrating = beside.submit(used.run, "admin", "migrate")
            until(lambda: used.sql(WAITS)[0][0], lives=lambda: not migrating.done())
            neighbour.commit()
            result = migrating.result()
        assert result.code == 78
        assert "public.vault_etl_migrations" in result.stderr
        assert used.sql("SELECT what FROM public.caught") == []
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("CREATE TABLE public.another ()")
