"""Two vaults in one cluster, in one database or in two, beside another application."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest

from tests.app.main_job import MAIN_JOB, WHY
from tests.app.shop import MAY, SHOP, as_shop
from tests.kit.databases import admin, database_copy
from tests.kit.dumps import program
from tests.kit.named_vaults import NamedVault, named_vault
from tests.kit.online import EXPAND, ONLINE, finish, online_on, with_country
from tests.kit.scratch import Scratch
from tests.kit.vault import ROLES
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Provisioned
from vault_etl.platform.names import Names
from vault_etl.platform.postgres import Database
from vault_etl.schema.postgres_migrations import PostgresMigrations

FIRST = Names("vault_of_one", "one_")
SECOND = Names("vault_of_one_two", "one_two_")
"""Each name of the first begins the name of the second."""
WAYS = ("SELECT FROM {}", "INSERT INTO {} DEFAULT VALUES", "DELETE FROM {}")
SETTINGS = "SELECT setdatabase <> 0, setrole, setconfig FROM pg_db_role_setting ORDER BY 1, 2"
RELATIONS = """
SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname IN ('vault_etl', 'vault_etl_detached') AND c.relkind IN ('r', 'p', 'v')
"""
INDEXES = """
SELECT i.indisvalid FROM pg_index AS i
WHERE i.indexrelid = 'vault_etl.user_logins_country'::regclass AND i.indrelid = 'vault_etl.user_logins'::regclass
"""
FUNCTIONS = """
SELECT p.oid::regproc::text, oidvectortypes(p.proargtypes), p.prokind::text
FROM pg_proc AS p WHERE p.pronamespace = 'vault_etl'::regnamespace AND p.prorettype <> 'trigger'::regtype
"""


@dataclass(frozen=True, slots=True)
class Two:
    """Both vaults, and what the other application's login could do before they came."""

    vaults: tuple[NamedVault, NamedVault]
    shop_could: list[tuple[str]]
    settings_before: list[tuple[object, ...]]


@pytest.fixture(
    scope="module",
    params=["one database", pytest.param("two databases", marks=pytest.mark.endurance)],
)
def two(
    request: pytest.FixtureRequest,
    postgres: RunningPostgres,
    moto: tuple[str, Provisioned],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Two]:
    """Both vaults, each after its main job; the other application has a table and objects of the vaults' names."""
    homes = [tmp_path_factory.mktemp(name) for name in ("first", "second")]
    with database_copy(postgres, "template1") as one, database_copy(postgres, "template1") as other:
        with admin(postgres, one) as cursor:
            cursor.execute(f"CREATE ROLE {SHOP} LOGIN PASSWORD %s", (postgres.passwords.of(SHOP),))
            cursor.execute(f"GRANT CREATE ON SCHEMA public TO {SHOP}")
            cursor.execute(f'GRANT CREATE ON DATABASE "{one}" TO {SHOP}')
            cursor.execute(MAY, {"login": SHOP})
            could = cursor.fetchall()
            cursor.execute(SETTINGS)
            before = cursor.fetchall()
        try:
            with as_shop(postgres, one) as cursor:
                with admin(postgres, one) as administrator:
                    administrator.execute("CREATE EXTENSION vector SCHEMA public")
                for name in ("user_logins", "data_keys", "migrations"):
                    cursor.execute(f"CREATE TABLE public.{name} (id integer)")
            at = (one, one if request.param == "one database" else other)
            with (
                named_vault(postgres, at[0], moto, homes[0], FIRST) as first,
                named_vault(postgres, at[1], moto, homes[1], SECOND) as second,
            ):
                yield Two((first, second), could, before)
        finally:
            with admin(postgres, one) as cursor:
                cursor.execute(f"DROP OWNED BY {SHOP} CASCADE")
                cursor.execute(f"DROP ROLE {SHOP}")


@pytest.fixture(scope="module")
def worked(two: Two) -> Two:
    """Both vaults after their main jobs, step by step in turn."""
    for step in MAIN_JOB:
        for vault in two.vaults:
            step(vault)
    return two


def test_each_vault_is_whole_after_its_main_job(worked: Two) -> None:
    """The log of each verifies, its schema is as the migrations made it, and `doctor` finds no fault."""
    for vault in worked.vaults:
        assert vault.ok("audit", "audit", "verify").code == 0
        assert vault.ok("audit", "migrate", "--check").json == {"applied": []}
        lines = {line["check"]: line for line in vault.run("audit", "doctor").lines}
        for check in (
            "postgres",
            "migrations",
            "schema",
            "roles",
            "members",
            "separation",
            "partitions",
            "fence",
        ):
            assert lines[check]["ok"], lines[check]
        assert lines["roles"]["detail"] == "audit"
        assert "a vault elsewhere" not in lines["members"]["detail"]
        assert vault.ok("admin", "migrate").json == {"applied": []}


@pytest.mark.parametrize("role", ROLES)
def test_no_login_of_one_vault_reaches_the_other(worked: Two, role: str) -> None:
    """Every table, view and function of the other vault is denied, and no role of the other is its own."""
    for ours, theirs in (worked.vaults, worked.vaults[::-1]):
        login = ours.login(role)
        url = ours.server.url(login, theirs.database)
        relations = [name for (name,) in theirs.sql(f"SET search_path = ''; {RELATIONS}")]
        functions = theirs.sql(f"SET search_path = ''; {FUNCTIONS}")
        assert len(relations) > 30
        assert len(functions) > 100
        statements = [
            *(way.format(name) for name in relations for way in WAYS),
            *(_call(*function) for function in functions),
            f"CREATE TABLE {theirs.names.schema}.mine ()",
            *(
                f"SET ROLE {group}"
                for group in (
                    theirs.names.put_into("vault_etl_owner"),
                    theirs.names.put_into(f"vault_etl_{role.replace('-', '_')}"),
                )
            ),
        ]
        with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
            session.autocommit = True
            for statement in statements:
                with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                    cursor.execute(statement)


@pytest.mark.parametrize(
    ("role", "words"),
    [
        ("reveal", ("find", "--field", "ip", "--reason", "a test")),
        ("re-encrypt", ("keys", "rotate", "--yes")),
        ("erase", ("erase", "--user-id", "ann", *WHY)),
        ("analyst", ("duplicates", "--field", "ip")),
        ("audit", ("audit", "list")),
    ],
)
def test_a_command_with_a_login_of_the_other_vault_is_denied(
    worked: Two, role: str, words: tuple[str, ...]
) -> None:
    """The command exits 77, and its hint names the role of this vault."""
    for ours, theirs in (worked.vaults, worked.vaults[::-1]):
        url = {"VAULT_ETL_DATABASE_URL": theirs.server.url(ours.login(role), theirs.database)}
        result = theirs.run(role, *words, extra=url, stdin="203.0.113.1\n")
        assert result.code == 77, result.stderr
        assert theirs.names.put_into(f"vault_etl_{role.replace('-', '_')}") in result.stderr


def test_the_other_application_keeps_its_rights(worked: Two) -> None:
    """Its login may do what it could do before, and reaches nothing of a vault; no setting is for all."""
    first = worked.vaults[0]
    with admin(first.server, first.database) as cursor:
        cursor.execute(MAY, {"login": SHOP})
        assert cursor.fetchall() == worked.shop_could
        cursor.execute(SETTINGS)
        assert cursor.fetchall() == worked.settings_before
    with as_shop(first.server, first.database) as cursor:
        cursor.execute(
            "CREATE TEMP TABLE cart (id integer); INSERT INTO public.user_logins VALUES (1);"
            "SELECT lo_unlink(lo_creat(-1)); CREATE TABLE public.more (); DROP TABLE public.more;"
            "SELECT count(*) FROM public.user_logins"
        )
        cursor.execute("TRUNCATE public.user_logins")
        for name in ("user_logins", "migrations", "vault", "audit_log"):
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute(f"SELECT FROM {first.names.schema}.{name}")


def test_an_archive_is_of_a_vault_and_of_no_schema(worked: Two) -> None:
    """No file of an archive has the name of a schema or role, and one vault takes no archive of the other."""
    first, second = worked.vaults
    (signature,) = (first.home / "kept").rglob("manifest-00001.sig")
    for path in signature.parent.iterdir():
        content = path.read_bytes()
        for name in (FIRST.schema, FIRST.role_prefix, "vault_etl"):
            assert name.encode() not in content, path.name
    month = signature.parent.name.removeprefix("user_logins_")[:7].replace("_", "-")
    result = second.run(
        "owner", "partitions", "restore", month, "--from", str(signature.parent), *WHY
    )
    assert result.code != 0
    assert "vault" in result.stderr


def test_one_vault_of_a_database_is_dumped_and_restored_alone(worked: Two) -> None:
    """A dump of its two schemas, in another database, is the vault: rows, log and schema."""
    for vault in worked.vaults:
        server, schema = vault.server, vault.names.schema
        only = [f"--schema={name}" for name in (schema, f"{schema}_detached")]
        dump = program(Scratch(server, vault.database), "pg_dump", *only)
        with database_copy(server, "template1") as name:
            restored = dataclasses.replace(vault, database=name)
            restored.ok("admin", "migrate", "--roles-only")
            program(Scratch(server, name), "psql", "-v", "ON_ERROR_STOP=1", stdin=dump)
            assert restored.ok("audit", "migrate", "--check").json == {"applied": []}
            restored.ok("audit", "audit", "verify")
            rows = "SELECT to_jsonb(u)::text FROM vault_etl.user_logins AS u ORDER BY 1"
            assert restored.sql(rows) == vault.sql(rows)
            schemas = (
                "SELECT nspname::text FROM pg_namespace WHERE nspname ~ '^vault_of' ORDER BY 1"
            )
            assert restored.sql(schemas) == [(schema,), (f"{schema}_detached",)]


def test_an_online_migration_works_under_other_names(worked: Two, tmp_path: Path) -> None:
    """It adds a column, fills it, and builds its index and its constraint in the schema of this vault."""
    vault = worked.vaults[0]
    folder = with_country(tmp_path, EXPAND, ONLINE)
    with database_copy(vault.server, vault.database) as name, contextlib.ExitStack() as opened:
        url = vault.server.url("admin", name)
        databases = [
            opened.enter_context(contextlib.closing(Database(url, names=vault.names)))
            for _ in range(3)
        ]
        with online_on(databases, folder) as steps:
            finish(steps)
        copy = dataclasses.replace(vault, database=name)
        filled = "SELECT count(country) FROM vault_etl.user_logins"
        assert copy.sql(filled) == [(3,)]
        assert PostgresMigrations(databases[0], folder).pending() == []
        assert copy.sql(INDEXES) == [(True,)]


def _call(name: str, arguments: str, kind: str) -> str:
    """A call of the function or procedure with no values."""
    nulls = ", ".join(f"NULL::{of}" for of in arguments.split(", ") if of)
    return f"{'CALL' if kind == 'p' else 'SELECT'} {name}({nulls})"
