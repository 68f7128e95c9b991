"""Migrations run once, in order, all or none, and never one that was changed."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest

from tests.kit.databases import admin, clone, empty
from tests.kit.scratch import Scratch, sealed_record
from tests.kit.sessions import connect
from tests.kit.vault import Vault
from vault_etl.base.errors import ConfigurationError, DeniedError, VaultEtlError
from vault_etl.local.postgres import RunningPostgres
from vault_etl.platform.postgres_lock_watch import LockWatch
from vault_etl.platform.resources import resource_dir
from vault_etl.platform.waiting import Blocked
from vault_etl.records.fenced_writes import Loaded
from vault_etl.schema.postgres_migrations import Applied, PostgresMigrations

NAMES = sorted(path.stem for path in resource_dir("migrations").glob("[0-9]*.sql"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the migrations, to be changed."""
    return Path(shutil.copytree(resource_dir("migrations"), tmp_path / "migrations"))


def _apply(database: Scratch, folder: Path | None = None, role: str = "admin") -> list[str]:
    with database.database(role) as opened:
        return list(PostgresMigrations(opened, folder or resource_dir("migrations")).apply().names)


def _pending(database: Scratch, folder: Path | None = None) -> list[str]:
    with database.database("admin") as opened:
        found = PostgresMigrations(opened, folder or resource_dir("migrations")).pending()
        return [pending.migration.name for pending in found]


def test_migrations_are_applied_once_and_in_order(postgres: RunningPostgres) -> None:
    """The first run applies every file in the order of their names, the second run none."""
    with empty(postgres) as database:
        assert _pending(database) == NAMES
        assert _apply(database) == NAMES
        assert _apply(database) == []
        assert _pending(database) == []
        recorded = database.sql("SELECT name, length(checksum) FROM migrations ORDER BY 1")
        assert recorded == [(name, 64) for name in NAMES]


def test_check_exits_78_while_any_is_pending(bare_vault: Vault) -> None:
    """`migrate --check` exits 78 until the last one is there; applying is denied to every role but owner."""
    assert bare_vault.ok("analyst", "migrate", "--check").json == {"applied": []}
    bare_vault.sql("DELETE FROM vault_etl.migrations WHERE name = %s", NAMES[-1])
    result = bare_vault.run("analyst", "migrate", "--check")
    assert result.code == 78
    assert NAMES[-1] in result.stderr
    assert bare_vault.count("migrations") == len(NAMES) - 1
    assert bare_vault.run("rotate", "migrate").code == 77


def test_a_changed_file_is_refused(scratch: Scratch, folder: Path) -> None:
    """With one more blank in an applied migration nothing is applied or reported as up to date."""
    changed = folder / f"{NAMES[0]}.sql"
    changed.write_text(changed.read_text(encoding="utf-8") + " ", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=NAMES[0]):
        _apply(scratch, folder)
    with pytest.raises(ConfigurationError, match=NAMES[0]):
        _pending(scratch, folder)


def test_a_newer_database_is_refused(scratch: Scratch, folder: Path) -> None:
    """A version that lacks one of the migrations of the database leaves the database alone."""
    (folder / f"{NAMES[-1]}.sql").unlink()
    with pytest.raises(ConfigurationError, match=NAMES[-1]):
        _apply(scratch, folder)


def test_two_runs_at_once_both_succeed(postgres: RunningPostgres) -> None:
    """Of two runs at the same moment one applies everything, and the other waits and finds nothing to do."""
    barrier = threading.Barrier(2)

    def migrate(database: Scratch) -> list[str]:
        barrier.wait()
        return _apply(database)

    with empty(postgres) as database, ThreadPoolExecutor(2) as pool:
        results = sorted(pool.map(migrate, [database, database]))
    assert results == [[], NAMES]


def test_a_failing_last_migration_leaves_nothing(postgres: RunningPostgres, folder: Path) -> None:
    """All pending migrations are one transaction: an error in the last one undoes the first."""
    (folder / "9999_broken.sql").write_text("SELECT 1 FROM vault_etl.not_there;", encoding="utf-8")
    with empty(postgres) as database:
        with pytest.raises(VaultEtlError):
            _apply(database, folder)
        left = database.value(
            "SELECT count(*) FROM pg_class WHERE relnamespace = to_regnamespace('vault_etl')"
        )
        assert left == 0
        assert _apply(database) == NAMES


def test_an_added_file_is_all_that_is_applied_next(scratch: Scratch, folder: Path) -> None:
    """An update applies only what the database lacks, as the owner."""
    sql = "SET LOCAL ROLE vault_etl_owner; CREATE TABLE vault_etl.later (one boolean);"
    (folder / "9999_later.sql").write_text(sql, encoding="utf-8")
    assert _apply(scratch, folder) == ["9999_later"]
    owner = scratch.value("SELECT relowner::regrole::text FROM pg_class WHERE relname = 'later'")
    assert owner == "vault_etl_owner"


def test_ingest_goes_on_beside_a_migration_that_waits(scratch: Scratch, folder: Path) -> None:
    """A migration that waits for an analyst's query, with ingest behind it, gives up, names it, and is tried again."""
    scratch.add_token_keys()
    keys = scratch.write_keys()
    (folder / "9999_more.sql").write_text("ALTER TABLE vault_etl.user_logins ADD COLUMN more text;")
    with (
        scratch.database("admin") as opened,
        scratch.database("admin") as watching,
        scratch.connect("analyst") as analyst,
        scratch.connect("audit") as auditor,
        ThreadPoolExecutor(1) as pool,
        scratch.loader() as loader,
    ):
        locks = LockWatch(watching)
        migrations = PostgresMigrations(opened, folder, locks)
        with analyst.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM vault_etl.user_logins_masked")
        with auditor.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM vault_etl.audit_log")
        attempt = pool.submit(migrations.try_apply)
        while not attempt.done():
            assert isinstance(loader.load([sealed_record(keys)], [], keys), Loaded)
        blocked = attempt.result()
        assert isinstance(blocked, Blocked)
        assert f"pid {analyst.info.backend_pid} (test_analyst)" in blocked.by
        assert not [by for by in blocked.by if "test_audit" in by], (
            "a reader of another table is not in its way"
        )
        analyst.rollback()
        assert migrations.try_apply() == Applied(["9999_more"], None)


def test_the_command_names_the_session_in_its_way(bare_vault: Vault) -> None:
    """When its time is up it exits 75, and nothing is changed. Meanwhile the server shows which command waits."""
    names = set[str]()
    with (
        closing(connect(bare_vault.database_url("admin"))) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        with other.cursor() as cursor:
            cursor.execute("LOCK TABLE vault_etl.migrations IN ACCESS EXCLUSIVE MODE")
        running = pool.submit(bare_vault.run, "admin", "migrate", "--wait", "0s")
        while not running.done():
            sessions = bare_vault.sql("SELECT application_name FROM pg_stat_activity")
            names.update(name for (name,) in sessions)
        result = running.result()
        assert "vault-etl migrate" in names
        assert result.code == 75
        assert f"held by pid {other.info.backend_pid} (admin)" in result.stderr


def test_names_in_a_migration_are_not_looked_up_in_the_callers_schemas(
    scratch: Scratch, folder: Path
) -> None:
    """A function of the same name in a schema that the login prefers is not called."""
    scratch.sql(
        "CREATE SCHEMA trap; CREATE FUNCTION trap.lpad(text, integer, text) RETURNS text"
        " LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;"
        f'ALTER DATABASE "{scratch.name}" SET search_path = trap, pg_catalog'
    )
    (folder / "9999_later.sql").write_text("SELECT lpad('a', 2, 'b');", encoding="utf-8")
    assert _apply(scratch, folder) == ["9999_later"]


def test_a_database_that_is_not_utf8_is_refused(postgres: RunningPostgres) -> None:
    """COPY and the audit hash need UTF-8, so another encoding is a configuration error."""
    with admin(postgres, "postgres") as cursor:
        cursor.execute(
            "CREATE DATABASE scratch_latin1 ENCODING 'LATIN1' TEMPLATE template0"
            " LOCALE_PROVIDER libc LOCALE 'C'"
        )
    try:
        with pytest.raises(ConfigurationError, match="UTF8"):
            _apply(Scratch(postgres, "scratch_latin1"))
    finally:
        with admin(postgres, "postgres") as cursor:
            cursor.execute("DROP DATABASE scratch_latin1 WITH (FORCE)")


def test_a_login_that_may_not_create_roles_can_migrate_once_they_exist(
    postgres: RunningPostgres,
) -> None:
    """On a cluster whose roles an administrator made, owning the database and the owner role is enough."""
    with empty(postgres) as database:
        database.sql(
            f"CREATE ROLE test_dba LOGIN PASSWORD '{postgres.passwords.of('test_dba')}';"
            f'GRANT vault_etl_owner TO test_dba; ALTER DATABASE "{database.name}" OWNER TO test_dba'
        )
        try:
            assert _apply(database, role="dba") == NAMES
        finally:
            database.sql("REASSIGN OWNED BY test_dba TO admin; DROP OWNED BY test_dba")
            database.sql("DROP ROLE test_dba")


def test_a_login_that_is_not_a_member_of_the_owner_cannot_migrate(
    postgres: RunningPostgres,
) -> None:
    """Owning the database alone does not make a login the owner of the vault."""
    with empty(postgres) as database:
        password = postgres.passwords.of("test_stranger")
        database.sql(
            f"CREATE ROLE test_stranger LOGIN CREATEROLE PASSWORD '{password}';"
            f'ALTER DATABASE "{database.name}" OWNER TO test_stranger'
        )
        try:
            with pytest.raises(DeniedError):
                _apply(database, role="stranger")
        finally:
            database.sql("REASSIGN OWNED BY test_stranger TO admin; DROP OWNED BY test_stranger")
            database.sql("DROP ROLE test_stranger")


def test_every_login_may_ask_whether_the_database_is_up_to_date(shared: Scratch) -> None:
    """Every login reads the list of migrations, and the owner alone writes it."""
    assert len(shared.sql("SELECT name FROM vault_etl.migrations", role="erase")) == len(NAMES)
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        shared.sql("DELETE FROM vault_etl.migrations", role="rotate")


TRAP = """
    SET ROLE vault_etl_owner;
    CREATE FUNCTION vault_etl.trap() RETURNS text LANGUAGE sql RETURN '';
"""
TRAPS = {
    "a view in its place": """
        ALTER TABLE vault_etl.migrations RENAME TO hidden;
        CREATE VIEW vault_etl.migrations AS
            SELECT name || vault_etl.trap() AS name, checksum, applied_at FROM vault_etl.hidden;
        GRANT SELECT ON vault_etl.migrations TO PUBLIC""",
    "a default": "ALTER TABLE vault_etl.migrations ADD note text DEFAULT vault_etl.trap()",
    "a constraint": "ALTER TABLE vault_etl.migrations ADD CHECK (vault_etl.trap() = '') NOT VALID",
    "a policy": """
        CREATE POLICY trap ON vault_etl.migrations USING (vault_etl.trap() = '');
        ALTER TABLE vault_etl.migrations ENABLE ROW LEVEL SECURITY""",
}


@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS.keys())
def test_an_owner_has_no_code_run_by_the_login_that_migrates(
    postgres: RunningPostgres, folder: Path, trap: str
) -> None:
    """The login may be a superuser. Neither the check nor the next migration runs code of the owner."""
    with clone(postgres) as scratch:
        scratch.sql(TRAP + trap)
        (folder / "9999_next.sql").write_text("SELECT 1")
        with scratch.database("admin") as database:
            migrations = PostgresMigrations(database, folder)
            for act in (migrations.pending, migrations.apply):
                with pytest.raises(ConfigurationError, match="not the table"):
                    act()


OPERATORS = """
    SET ROLE vault_etl_owner;
    CREATE FUNCTION vault_etl.trap(a oid, b regclass) RETURNS boolean LANGUAGE sql RETURN 1 / 0 = 1;
    CREATE FUNCTION vault_etl.trap(a oid, b regtype) RETURNS boolean LANGUAGE sql RETURN 1 / 0 = 1;
    CREATE OPERATOR vault_etl.= (LEFTARG = oid, RIGHTARG = regclass, FUNCTION = vault_etl.trap);
    CREATE OPERATOR vault_etl.<> (LEFTARG = oid, RIGHTARG = regtype, FUNCTION = vault_etl.trap);
"""


def test_an_operator_of_the_owner_is_not_taken_for_the_systems(postgres: RunningPostgres) -> None:
    """An operator in `public` that fits better would run if our sessions looked up names there."""
    with clone(postgres) as scratch, scratch.connect() as opened:
        with opened.cursor() as cursor:
            cursor.execute(OPERATORS)
            opened.commit()
            with pytest.raises(psycopg2.errors.DivisionByZero):
                cursor.execute("SELECT FROM pg_class WHERE oid = 'vault_etl.data_keys'::regclass")
        assert _pending(scratch) == []
        assert _apply(scratch) == []
        with scratch.database("admin") as database, database.transaction() as cursor:
            cursor.execute("SHOW search_path")
            assert cursor.fetchone() == ("pg_catalog, pg_temp",)
