"""A table in `public` that has a closed month's name, or its bounds, and not its rows."""

from __future__ import annotations

import dataclasses
from contextlib import contextmanager
from typing import TYPE_CHECKING

import psycopg2.errors
import pytest

from tests.kit.declarations import DEFAULT
from tests.kit.months import name_of, request
from tests.kit.schemas import differences
from tests.kit.scratch import Scratch, sealed_record
from vault_etl.audit.entries import Action
from vault_etl.base.errors import ConfigurationError
from vault_etl.erase.erase import UserTarget
from vault_etl.erase.postgres import PostgresEraser
from vault_etl.partitions.postgres import PostgresPartitions
from vault_etl.records.fenced_writes import Loaded
from vault_etl.records.months import choose

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHIVE = "UPDATE closed_months SET archive = '/archives/a', archive_sha256 = sha256('manifest'), archived_at = now()"
LIKE = (
    "SET ROLE vault_etl_owner; CREATE TABLE vault_etl.{} (LIKE vault_etl.user_logins INCLUDING ALL)"
)
STATES = "SELECT partition, state FROM {}() WHERE partition ~ %s"
COUNTS = "SELECT field, sum(held)::int FROM detached_values GROUP BY 1 ORDER BY 1"


@contextmanager
def partitions(database: Scratch) -> Iterator[PostgresPartitions]:
    """The real adapter of the owner."""
    with database.database("admin") as opened:
        yield PostgresPartitions(opened, 1.0)


@pytest.fixture
def archived(scratch: Scratch) -> str:
    """This month, with one record, in an archive alone; its name, which a table without rows has in `public`."""
    name = name_of(0)
    scratch.add_token_keys()
    keys = scratch.write_keys()
    with scratch.loader() as loader:
        assert isinstance(loader.load([sealed_record(keys)], [], keys), Loaded)
    with partitions(scratch) as months:
        months.detach(request(), choose(months.partitions(), name))
        scratch.sql(ARCHIVE)
        months.drop(request(), choose(months.partitions(), name))
    scratch.sql(LIKE.format(name))
    return name


def test_it_is_not_taken_for_the_rows_of_an_archived_month(scratch: Scratch, archived: str) -> None:
    """The month stays archived, and its values counted: no step works on the other table, which `doctor` names."""
    counts = scratch.sql(COUNTS)
    assert counts == [("device_id", 1), ("ip", 1), ("token", 1)]
    for function in ("partition_list", "unattached_months"):
        assert scratch.sql(STATES.format(function), archived) == [(archived, "archived")]
    for refused in (
        "SELECT partition_drop(partition, archive_sha256) FROM closed_months",
        "SELECT partition_attach(partition) FROM closed_months",
        "SELECT archive_begin(partition) FROM closed_months",
        "SELECT partition_move_detached(partition) FROM closed_months",
        "SELECT partition_close(event, partition, first, until) FROM closed_months",
    ):
        with pytest.raises(
            (psycopg2.errors.ObjectNotInPrerequisiteState, psycopg2.errors.DuplicateTable)
        ):
            scratch.sql(refused)
    with pytest.raises(psycopg2.errors.NoDataFound):
        scratch.sql("SELECT partition_prepare(%s)", archived)
    assert scratch.sql(COUNTS) == counts
    assert f"detached partition {archived}" in " ".join(differences(scratch, "audit"))


def test_an_erasure_is_left_to_do_in_the_archive(scratch: Scratch, archived: str) -> None:
    """The erasure is not counted in the other table, which has no row of the user."""
    erase = dataclasses.replace(request(), action=Action.ERASE)
    with scratch.database("erase") as database:
        erasure = PostgresEraser(database, DEFAULT).erase(erase, UserTarget("user-1"))
    assert erasure is not None
    assert (erasure.records, erasure.archives) == (0, {archived: "/archives/a"})
    assert scratch.sql("SELECT user_id FROM archived_erasures") == [("user-1",)]


def test_a_namesake_blocks_changes_once_the_month_is_back(scratch: Scratch, archived: str) -> None:
    """The month's own table is known, but every change is refused until the other table is removed."""
    scratch.sql(
        "SET ROLE vault_etl_owner; SELECT restore_make(event, partition, first, until) FROM closed_months"
    )
    with partitions(scratch) as months:
        month = choose(months.partitions(), archived)
        assert month.state == "detached"
        for change in (months.detach, months.attach, months.drop):
            with pytest.raises(ConfigurationError, match="a name of vault-etl"):
                change(request(), month)
        scratch.sql(f"DROP TABLE vault_etl.{archived}")
        months.attach(request(), month)


def test_it_is_not_detached_for_an_archived_month(scratch: Scratch, archived: str) -> None:
    """Attached by hand; a detach would close it, fail, and open it, with the end of what is on record of the month."""
    scratch.sql(
        "DO $$ BEGIN EXECUTE (SELECT format("
        "'ALTER TABLE user_logins ATTACH PARTITION vault_etl.%I FOR VALUES FROM (%L) TO (%L)', partition, first, until)"
        " FROM closed_months); END $$"
    )
    with partitions(scratch) as months:
        month = choose(months.partitions(), archived)
        assert month.state == "attached"
        with pytest.raises(ConfigurationError, match="a name of vault-etl"):
            months.detach(request(), month)
        assert choose(months.partitions(), archived).state == "attached"
    assert scratch.value("SELECT count(*) FROM detached_values") == 3


def test_the_bounds_of_a_closed_month_are_taken(scratch: Scratch) -> None:
    """A month that was closed under another name is that month, and a table of the usual name is not."""
    name = name_of(0)
    scratch.sql(f"ALTER TABLE {name} RENAME TO user_logins_old")
    with partitions(scratch) as months:
        months.detach(request(), choose(months.partitions(), "user_logins_old"))
        scratch.sql(LIKE.format(name))
        listed = STATES.format("partition_list")
        assert scratch.sql(listed, f"{name}|old") == [("user_logins_old", "detached")]


def test_a_namesake_of_a_dropped_month_counts_as_detached_by_hand(scratch: Scratch) -> None:
    """Its rows exist nowhere else: the table is detached on the record."""
    name = name_of(0)
    with partitions(scratch) as months:
        months.detach(request(), choose(months.partitions(), name))
        months.drop(request(), choose(months.partitions(), name))
        scratch.sql(LIKE.format(name))
        months.detach(request(), choose(months.partitions(), name))
        assert [m.state for m in months.partitions() if m.name == name] == ["detached"]
