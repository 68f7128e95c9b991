"""Members of our roles that may more than their role are named: by what they are members of, have, or may grant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.kit.databases import clone
from tests.kit.schemas import odd_members
from tests.kit.scratch import Scratch
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.local.postgres import RunningPostgres

MADE = """
CREATE ROLE test_team;
GRANT vault_etl_owner TO test_team WITH INHERIT FALSE, SET TRUE;
CREATE ROLE test_through IN ROLE test_team;
CREATE ROLE test_giver IN ROLE vault_etl_audit;
GRANT vault_etl_audit TO test_giver WITH ADMIN TRUE;
CREATE ROLE test_maker CREATEROLE;
GRANT vault_etl_ingest TO test_maker WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;
CREATE ROLE test_root SUPERUSER IN ROLE vault_etl_reveal;
CREATE ROLE test_stream REPLICATION BYPASSRLS CREATEROLE IN ROLE vault_etl_ingest;
CREATE ROLE test_reads IN ROLE vault_etl_rotate;
CREATE ROLE test_group IN ROLE pg_read_server_files;
GRANT test_group TO test_reads WITH INHERIT FALSE, SET TRUE;
CREATE ROLE test_backup LOGIN IN ROLE pg_read_all_data;
CREATE ROLE test_stranger LOGIN CREATEROLE REPLICATION IN ROLE pg_monitor;
CREATE ROLE test_fine LOGIN IN ROLE vault_etl_analyst
"""

ODD = {
    "test_team": ("acts as vault_etl_owner", True),
    "test_through": ("acts as vault_etl_owner", True),
    "test_giver": ("may grant vault_etl_audit", True),
    "test_maker": ("may grant vault_etl_ingest", False),
    "test_root": ("has SUPERUSER", True),
    "test_stream": ("has BYPASSRLS, has CREATEROLE, has REPLICATION", True),
    "test_reads": ("acts as pg_read_server_files", True),
    "test_backup": ("acts as pg_read_all_data", False),
}


@pytest.fixture(scope="module")
def made(postgres: RunningPostgres) -> Iterator[Scratch]:
    """A database in a cluster with all of them."""
    with clone(postgres) as scratch:
        assert odd_members(scratch) == {}
        scratch.sql(MADE)
        try:
            yield scratch
        finally:
            scratch.sql(
                "DROP ROLE test_team, test_through, test_giver, test_maker, test_root, test_stream,"
                " test_reads, test_group, test_backup, test_stranger, test_fine"
            )


def test_each_is_named_and_no_other(made: Scratch) -> None:
    """A role between them and ours hides nothing; a login without one of ours is its own affair."""
    assert odd_members(made) == ODD


def test_another_vault_with_the_same_roles_is_named(made: Scratch) -> None:
    """A database of the cluster, and a schema of this database. A schema of another owner is not a vault."""
    with clone(made.server) as other, made.database("analyst") as database:
        facts = PostgresFacts(database)
        made.sql("CREATE SCHEMA staging AUTHORIZATION vault_etl_owner; CREATE SCHEMA elsewhere")
        found = facts.other_vaults()
        assert {f"database {other.name}", "schema staging"} <= set(found)
        assert not {f"database {made.name}", "schema elsewhere", "schema vault_etl"} & set(found)
        made.sql("DROP SCHEMA staging, elsewhere")


def test_the_owner_of_the_database_may_act_as_the_owner_role(made: Scratch) -> None:
    """On managed servers the owner of the database migrates; with another role of ours it is named."""
    made.sql(f'ALTER DATABASE "{made.name}" OWNER TO test_through')
    made.sql("ALTER ROLE test_through CREATEROLE; GRANT pg_monitor TO test_through")
    found = odd_members(made)
    assert found == {name: odd for name, odd in ODD.items() if name != "test_through"}
    made.sql("GRANT vault_etl_reveal TO test_through")
    said, is_fault = odd_members(made)["test_through"]
    assert (said, is_fault) == ("owns the database, and acts as vault_etl_reveal", True)
    made.sql(f'ALTER DATABASE "{made.name}" OWNER TO admin')
