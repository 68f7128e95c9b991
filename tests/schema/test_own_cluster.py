"""A cluster that has never seen vault-etl, of each supported version, with logins that are not superusers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.cut_over import cut_over_again, filled_token
from tests.kit.databases import admin
from tests.kit.declared import FIELDS
from tests.kit.online import EXPAND, ONLINE, finish, online, with_country
from tests.kit.own_cluster import (
    NEWEST,
    OLDEST,
    as_documented,
    own_cluster,
    programs,
    shell,
)
from tests.kit.pages import documented
from tests.kit.schemas import differences, odd_members
from tests.kit.scratch import Scratch, sealed_record, sealed_rejection
from vault_etl.platform.resources import resource_dir
from vault_etl.records.fenced_writes import Loaded
from vault_etl.schema.postgres_migrations import PostgresMigrations

pytestmark = pytest.mark.postgres


@pytest.fixture(scope="module", params=[OLDEST, NEWEST])
def major(request: pytest.FixtureRequest) -> int:
    """A major version of PostgreSQL."""
    assert isinstance(request.param, int)
    return request.param


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the dump."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def cluster(major: int, folder: Path) -> Iterator[Scratch]:
    """A cluster set up as docs/how-to/database.md says, with a record and a rejection."""
    with own_cluster(major, folder) as made:
        make_database(made, made.name, new=True)
        migrate, *_ = documented("how-to/database.md", "sh")
        done = shell(programs(major).bin, made.url("deployer"), migrate, folder)
        assert done.returncode == 0, done.stderr
        for statement in as_documented(
            made.server, documented("how-to/database.md", "sql")[1], made.name
        ):
            made.sql(statement, role="deployer")
        made.add_token_keys()
        keys = made.write_keys(*FIELDS)
        record, rejection = sealed_record(keys), sealed_rejection(keys, 1025)
        with made.loader() as loader:
            assert loader.prepare_partitions()
            loaded = loader.load([record], [rejection], keys)
            assert loaded == Loaded(frozenset({record.record_id}), frozenset({rejection.record_id}))
        yield made


@pytest.fixture(scope="module")
def dumped(cluster: Scratch, major: int, folder: Path) -> Scratch:
    """The cluster, with a dump of it in the folder."""
    done = shell(
        programs(major).bin,
        cluster.url("deployer"),
        documented("operations/backups.md", "sh")[0],
        folder,
    )
    assert done.returncode == 0, done.stderr
    return cluster


def make_database(cluster: Scratch, name: str, *, new: bool = False) -> None:
    """Make the database, and its owner if it is new, as the administrator."""
    create, *others = as_documented(
        cluster.server, documented("how-to/database.md", "sql")[0], name
    )
    for statement in [create, *others] if new else others:
        Scratch(cluster.server, "postgres").sql(statement, role="administrator")


def test_logins_without_a_superuser_are_enough(cluster: Scratch) -> None:
    """One login makes the database and one migrates: two vaults in a cluster, and an analyst reads what was loaded."""
    assert cluster.sql("SELECT rolname::text FROM pg_roles WHERE rolsuper") == [("admin",)]
    make_database(cluster, "other")
    for name, applied in (("other", True), (cluster.name, False)):
        with Scratch(cluster.server, name).database("deployer") as opened:
            migrations = PostgresMigrations(opened, resource_dir("migrations"))
            assert bool(migrations.apply().names) == applied
    assert cluster.value("SELECT count(*) FROM user_logins_masked", role="analyst") == 1


def test_a_restored_vault_is_the_vault_that_was_dumped(
    dumped: Scratch, major: int, folder: Path
) -> None:
    """The commands of the page succeed and bring back every row, owner, guard and grant."""
    make_database(dumped, "restored")
    restored = Scratch(dumped.server, "restored")
    _, restore, *_ = documented("operations/backups.md", "sh")
    done = shell(programs(major).bin, restored.url("deployer"), restore, folder)
    assert done.returncode == 0, done.stderr
    assert differences(restored, "ingest") == []
    assert odd_members(restored) == {}
    for table in ("user_logins", "quarantine", "data_keys", "audit_log", "vault"):
        rows = f"SELECT to_jsonb(t) FROM vault_etl.{table} AS t ORDER BY 1"  # noqa: S608
        assert restored.sql(rows) == dumped.sql(rows)
    keys = restored.write_keys(*FIELDS)
    with restored.loader() as loader:
        assert isinstance(loader.load([sealed_record(keys)], [], keys), Loaded)


def test_a_restore_that_lost_the_owners_is_reported(
    dumped: Scratch, major: int, folder: Path
) -> None:
    """Every object, functions too, belongs to the login that restored it: `migrate --check` exits 78 and names them."""
    make_database(dumped, "owned")
    owned = Scratch(dumped.server, "owned")
    _, restore, *_ = documented("operations/backups.md", "sh")
    steps = restore.replace("pg_restore ", "pg_restore --no-owner ")
    done = shell(programs(major).bin, owned.url("deployer"), steps, folder)
    assert done.returncode == 78
    assert "function erase(" in done.stderr
    assert "table audit_log: owner was changed" in done.stderr


def test_a_login_without_a_superuser_migrates_online(cluster: Scratch, folder: Path) -> None:
    """An index is built CONCURRENTLY, and rows are filled, as the owner, on a database of its own."""
    make_database(cluster, "online")
    database = Scratch(cluster.server, "online")
    migrations = with_country(folder, EXPAND, ONLINE)
    with database.database("deployer") as opened:
        PostgresMigrations(opened, resource_dir("migrations")).apply()
    with online(database, migrations, "deployer") as steps:
        finish(steps)
    with database.database("deployer") as opened:
        assert PostgresMigrations(opened, migrations).pending() == []


def test_no_difference_is_reported_where_no_superuser_migrated(cluster: Scratch) -> None:
    """A right that the migrating login could not grant is no difference, nor is its membership of the owner."""
    for role in ("deployer", "ingest"):
        assert differences(cluster, role) == []
    assert odd_members(cluster) == {}


def test_a_slot_that_streams_the_rows_is_named(cluster: Scratch) -> None:
    """The slot needs no publication: `test_decoding` shows every row that is written."""
    with admin(cluster.server, cluster.name) as cursor:
        cursor.execute("SELECT pg_create_logical_replication_slot('tap', 'pgoutput')")
        try:
            assert differences(cluster, "ingest") == [
                "replication slot tap is not of the migrations"
            ]
        finally:
            cursor.execute("SELECT pg_drop_replication_slot('tap')")


def test_tokens_cut_over_where_no_superuser_migrated(cluster: Scratch) -> None:
    """No step of the cut-over needs a right of a superuser."""
    analysts = "SELECT masked_ip FROM user_logins_masked"
    before = cluster.value(analysts, role="analyst")
    cut_over_again(cluster, 2)
    assert cluster.value(analysts, role="analyst") == filled_token(before)


def test_every_object_belongs_to_the_owner_role(cluster: Scratch) -> None:
    """Tables, views, types and functions belong to the owner role, whichever login migrates."""
    owners = cluster.sql(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class"
        " WHERE relnamespace = 'vault_etl'::regnamespace UNION"
        " SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'vault_etl'::regnamespace"
    )
    assert owners == [("vault_etl_owner",)]
