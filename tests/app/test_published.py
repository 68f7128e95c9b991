"""Logical replication with real servers: a subscriber before and after rotations, erasures and detached months."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.kit.databases import admin, database_copy
from tests.kit.events import event
from tests.kit.own_cluster import NEWEST, own_cluster
from tests.kit.pages import documented
from tests.kit.processes import fails
from tests.kit.scratch import Scratch
from tests.kit.vault import ROLES, Vault
from tests.kit.vaults import fill
from tests.kit.waiting import until
from vault_etl.local.postgres import RunningPostgres
from vault_etl.local.provision import Provisioned
from vault_etl.platform.resources import resource_dir
from vault_etl.schema.postgres_migrations import PostgresMigrations

SHARED = "198.51.100.1"
ROTATE = ("keys", "rotate", "--tokens", "--yes")
PUBLISH, SUBSCRIBE, LEAVE, UNPUBLISH, COPY_AGAIN = range(5)
"""The blocks of docs/how-to/logical-replication.md, in their order."""
ON_THE_VAULT = {PUBLISH, UNPUBLISH}
ALL_COLUMNS = """
    record_id uuid PRIMARY KEY, user_id text, device_type text, masked_ip uuid, masked_device_id uuid,
    ip_ciphertext bytea, device_id_ciphertext bytea, token_generation smallint,
    next_masked_ip uuid, next_masked_device_id uuid, next_token_generation smallint,
    locale text, app_version text, create_date date, event_time timestamptz
"""
TAP = """
    SELECT chr(get_byte(data, 0)) FROM pg_logical_slot_get_binary_changes(
        'tap', NULL, NULL, 'proto_version', '4', 'publication_names', 'everything'
    )
"""


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A database of another cluster, and the vault whose rows it gets."""

    vault: Vault
    database: Scratch

    def agrees(self) -> bool:
        """Compare users, tokens and generations with the vault."""
        return self.rows(self.database) == self.rows(self.vault)

    def rows(self, at: Vault | Scratch) -> list[tuple[Any, ...]]:
        """The users, tokens and generations of the vault or the subscriber."""
        return at.sql(
            "SELECT user_id, masked_ip, token_generation FROM vault_etl.user_logins ORDER BY record_id"
        )

    def run(self, block: int) -> None:
        """Run a block of the page, word by word but for the address of the vault."""
        text = documented("how-to/logical-replication.md", "sql")[block].replace(
            "host=db.internal dbname=vault_etl user=analytics password=…", connection(self.vault)
        )
        for statement in filter(str.strip, text.split(";\n")):
            if block in ON_THE_VAULT:
                Scratch(self.vault.server, self.vault.database).sql(statement, role="deployer")
            else:
                self.database.sql(statement)

    def load(self, user: str) -> None:
        """Load one more event of this user into the vault."""
        self.vault.send([event(ip=SHARED, user_id=user)])
        self.vault.ok("ingest", "ingest")

    def destroy_old_tokens(self) -> None:
        """Destroy the generation before the active one."""
        keys = self.vault.ok("rotate", "keys", "list", "--state", "decrypt_only").lines
        old = next(key for key in keys if key["purpose"] == "token")
        self.vault.ok("rotate", "keys", "destroy", str(old["key_id"]), "--yes")


@pytest.fixture(scope="module")
def published(
    moto: tuple[str, Provisioned], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Vault]:
    """A vault in a cluster of its own, whose log of changes is a logical one; three records."""
    home = tmp_path_factory.mktemp("published")
    with own_cluster(NEWEST, home) as cluster:
        passwords = cluster.server.passwords
        with admin(cluster.server, "postgres") as cursor:
            for name, more in (("test_deployer", "CREATEROLE"), ("analytics", "REPLICATION")):
                cursor.execute(f"CREATE ROLE {name} LOGIN {more} PASSWORD '{passwords.of(name)}'")
            cursor.execute("CREATE DATABASE vault OWNER test_deployer")
        with cluster.database("deployer") as database:
            PostgresMigrations(database, resource_dir("migrations")).apply()
        for name in (role.replace("-", "_") for role in ROLES):
            cluster.sql(
                f"CREATE ROLE test_{name} LOGIN PASSWORD '{passwords.of(f'test_{name}')}'"
                f" IN ROLE vault_etl_{name}"
            )
        vault = Vault(cluster.server, cluster.name, *moto, home)
        vault.register_audit_key()
        vault.ok("re-encrypt", "keys", "init")
        fill(vault, [event(ip=SHARED, user_id=user) for user in ("ann", "bob", "cyd")])
        yield vault


@pytest.fixture
def subscriber(published: Vault, postgres: RunningPostgres) -> Iterator[Subscriber]:
    """An empty database of the tests' other server."""
    with database_copy(postgres, "template1") as name:
        made = Subscriber(published, Scratch(postgres, name))
        try:
            yield made
        finally:
            made.database.sql("DROP SUBSCRIPTION IF EXISTS vault")
            published.sql("DROP PUBLICATION IF EXISTS logins, everything")


def connection(vault: Vault) -> str:
    """The connection of the login that replicates."""
    password = vault.server.passwords.of("analytics")
    return f"host=127.0.0.1 port={vault.server.port} dbname={vault.database} user=analytics password={password}"


def subscribe_to_all(subscriber: Subscriber) -> None:
    """Subscribe to all columns, with a table that nothing guards."""
    subscriber.vault.sql("GRANT USAGE ON SCHEMA vault_etl TO analytics")
    subscriber.vault.sql("GRANT SELECT ON user_logins TO analytics")
    subscriber.database.sql("CREATE SCHEMA vault_etl")
    subscriber.vault.sql(
        "CREATE PUBLICATION everything FOR TABLE user_logins WITH (publish_via_partition_root)"
    )
    subscriber.database.sql(f"CREATE TABLE user_logins ({ALL_COLUMNS})")
    subscriber.database.sql(
        f"CREATE SUBSCRIPTION vault CONNECTION '{connection(subscriber.vault)}' PUBLICATION everything"
    )


def month() -> str:
    """The present month."""
    return f"{dt.datetime.now(dt.UTC):%Y-%m}"


def test_the_page_leads_through_a_rotation_of_the_token_keys(subscriber: Subscriber) -> None:
    """The page runs word by word: rows come, a rotation is refused until the publication is dropped, all is copied."""
    vault = subscriber.vault
    subscriber.run(PUBLISH)
    subscriber.run(SUBSCRIBE)
    until(subscriber.agrees)
    subscriber.load("dan")
    until(subscriber.agrees)
    fails(vault.run("re-encrypt", *ROTATE), 78, "publication logins")
    for allowed in (
        (),
        ("--allow-publication",),
    ):  # its list of columns would follow the old tokens
        fails(vault.run("re-encrypt", *ROTATE, *allowed), 78, "publication logins")
    subscriber.run(LEAVE)
    assert vault.sql("SELECT slot_name FROM pg_replication_slots") == []
    subscriber.run(UNPUBLISH)
    vault.ok("re-encrypt", *ROTATE)
    subscriber.run(PUBLISH)
    subscriber.run(COPY_AGAIN)
    until(subscriber.agrees)
    subscriber.load("eve")
    until(subscriber.agrees)
    assert {row[2] for row in subscriber.rows(subscriber.database)} == {2}
    vault.ok("erase", "erase", "--user-id", "dan", "--reason", "r", "--yes")
    until(subscriber.agrees)
    subscriber.destroy_old_tokens()


def test_a_rotation_under_a_publication_leaves_old_tokens(subscriber: Subscriber) -> None:
    """Old tokens stay beside new ones until each row is written again; the guard stops the apply instead."""
    subscribe_to_all(subscriber)
    until(subscriber.agrees)
    subscriber.vault.ok("re-encrypt", *ROTATE, "--allow-publication")
    subscriber.load("fay")
    until(
        lambda: len(subscriber.rows(subscriber.database)) == subscriber.vault.count("user_logins")
    )
    mixed = {row[2] for row in subscriber.rows(subscriber.database) if row[1]}
    assert mixed == {2, 3}
    subscriber.destroy_old_tokens()
    until(subscriber.agrees)
    subscriber.database.sql(
        "ALTER TABLE user_logins ADD CONSTRAINT tokens_of_one_generation CHECK (token_generation = 3)"
    )
    subscriber.vault.ok("re-encrypt", *ROTATE, "--allow-publication")
    subscriber.load("gus")
    errors = "SELECT apply_error_count > 0 FROM pg_stat_subscription_stats WHERE subname = 'vault'"
    until(lambda: subscriber.database.sql(errors) == [(True,)])
    assert {row[2] for row in subscriber.rows(subscriber.database) if row[1]} == {3}
    subscriber.destroy_old_tokens()


def test_changes_of_a_detached_month_stay_on_the_vault(subscriber: Subscriber) -> None:
    """The subscriber gets neither its detachment, nor an erasure in it, nor its return."""
    subscribe_to_all(subscriber)
    until(subscriber.agrees)
    before = subscriber.rows(subscriber.database)
    partitions = ("admin", "partitions")
    subscriber.vault.ok(*partitions, "detach", month(), "--reason", "r", "--yes")
    subscriber.vault.ok("erase", "erase", "--user-id", "bob", "--reason", "r", "--yes")
    subscriber.vault.ok(*partitions, "attach", month(), "--reason", "r", "--yes")
    subscriber.load("hal")
    until(lambda: len(subscriber.rows(subscriber.database)) == len(before) + 1)
    erased = [row for row in subscriber.rows(subscriber.vault) if row[0] == "bob"]
    assert [row[1] for row in erased] == [None]
    assert [row for row in subscriber.rows(subscriber.database) if row[0] != "hal"] == before


def test_a_new_month_does_not_come_by_a_publication_of_partitions(subscriber: Subscriber) -> None:
    """The rows of a new month are left out silently until a refresh, without `publish_via_partition_root`."""
    vault, database = subscriber.vault, subscriber.database
    vault.sql("GRANT USAGE ON SCHEMA vault_etl TO analytics")
    vault.sql("GRANT SELECT ON ALL TABLES IN SCHEMA vault_etl TO analytics")
    database.sql("CREATE SCHEMA vault_etl")
    vault.sql("CREATE PUBLICATION everything FOR TABLE user_logins")
    for (name,) in vault.sql("SELECT partition FROM partition_ranges()"):
        database.sql(f"CREATE TABLE {name} ({ALL_COLUMNS})")
    database.sql(
        f"CREATE SUBSCRIPTION vault CONNECTION '{connection(vault)}' PUBLICATION everything"
    )
    vault.ok("admin", "partitions", "ensure", "2025-06")
    database.sql(f"CREATE TABLE user_logins_2025_06 ({ALL_COLUMNS})")
    vault.sql("GRANT SELECT ON user_logins_2025_06 TO analytics")
    vault.sql(
        "INSERT INTO user_logins (record_id, user_id, device_type, create_date)"
        " VALUES (first_record_id('2025-06-10Z'), 'ina', 'd', '2025-06-10')"
    )
    subscriber.load("jim")
    here = f"SELECT count(*) FROM user_logins_{month().replace('-', '_')}"  # noqa: S608 - a name of ours
    until(lambda: database.sql(here) == vault.sql(here))
    of_new = "SELECT count(*) FROM user_logins_2025_06"
    assert database.sql(of_new) == [(0,)]
    database.sql("ALTER SUBSCRIPTION vault REFRESH PUBLICATION")
    until(lambda: database.sql(of_new) == [(1,)])


def test_a_stream_of_changes_has_rotations_and_erasures(subscriber: Subscriber) -> None:
    """A rotation and an erasure are one message a row; a month that leaves or comes is no message."""
    vault = subscriber.vault
    ((sealed,),) = vault.sql("SELECT count(ip_ciphertext) FROM user_logins")
    vault.sql(
        "CREATE PUBLICATION everything FOR TABLE user_logins WITH (publish_via_partition_root)"
    )
    vault.sql("SELECT pg_create_logical_replication_slot('tap', 'pgoutput')")
    try:
        seen = streamed(vault)
        assert seen("re-encrypt", "keys", "rotate", "--yes")["U"] == sealed
        assert seen("erase", "erase", "--user-id", "ann", "--reason", "r", "--yes")["U"] == 1
        for way in ("detach", "attach"):
            changes = seen("admin", "partitions", way, month(), "--reason", "r", "--yes")
            assert not changes & Counter("IUDT"), way
        held = vault.run("audit", "doctor").lines
        (line,) = [line for line in held if line["check"] == "replication_slots"]
        assert (line["ok"], "tap holds back" in line["detail"]) == (True, True)
    finally:
        vault.sql("SELECT pg_drop_replication_slot('tap')")


def streamed(vault: Vault) -> Callable[..., Counter[str]]:
    """Run a command; return the kinds of the messages that it caused: I, U, D, T."""

    def seen(role: str, *args: str) -> Counter[str]:
        vault.ok(role, *args)
        return Counter(kind for (kind,) in vault.sql(TAP))

    return seen
