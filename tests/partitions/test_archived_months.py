"""A month whose rows are in its archive alone, and what an erasure leaves to do there."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor

import psycopg2.errors
import pytest

from tests.kit.months import insert, month_start, name_of
from tests.kit.scratch import Scratch, new_record_id
from vault_etl.audit.entries import Action, AuditRequest
from vault_etl.base.errors import IncompleteError
from vault_etl.partitions.postgres import PostgresPartitions
from vault_etl.partitions.postgres_archive import NewArchive, PostgresArchives
from vault_etl.records.months import choose

REQUEST = AuditRequest(
    request_id=uuid.uuid4(), action=Action.PARTITIONS_ARCHIVE, actor="a", host="h", reason="r"
)

CLOSE = (
    "INSERT INTO closed_months (event, first, until, partition, archive, archive_sha256, archived_at)"
    " SELECT 'user_logins', first_record_id(%s), first_record_id(%s), %s, '/archives/a', sha256('manifest'), now()"
)


def test_a_month_is_archived_when_its_table_is_gone(scratch: Scratch) -> None:
    """While it is there the month is detached, and its counts outlive it."""
    name = name_of(-2)
    scratch.sql(CLOSE, month_start(-2), month_start(-1), name)
    scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {name}")
    scratch.sql(f"ALTER TABLE {name} SET SCHEMA vault_etl_detached")
    state = f"SELECT state, archive, erasures FROM partition_list() WHERE partition = '{name}'"  # noqa: S608
    assert scratch.sql(state) == [("detached", "/archives/a", 0)]
    scratch.sql(
        "INSERT INTO detached_values SELECT event, first, 'ip', 7, '2026-01-01', 2 FROM closed_months;"
        " INSERT INTO archived_erasures (event, first, user_id) SELECT event, first, 'u' FROM closed_months"
    )
    scratch.sql(f"SELECT partition_drop('{name}', sha256('manifest'))")
    assert scratch.sql(state) == [("archived", "/archives/a", 1)]
    assert scratch.value("SELECT sum(held) FROM detached_values") == 2
    scratch.sql("DELETE FROM closed_months")
    assert scratch.value("SELECT count(*) FROM archived_erasures") == 0


@pytest.fixture
def detached(scratch: Scratch) -> str:
    """A detached month with a row and without an archive; its name."""
    name = name_of(-2)
    insert(scratch, new_record_id(month_start(-2)))
    scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {name}")
    scratch.sql(
        "INSERT INTO closed_months (event, first, until, partition)"
        " SELECT 'user_logins', first_record_id(%s), first_record_id(%s), %s",
        month_start(-2),
        month_start(-1),
        name,
    )
    scratch.sql(f"SELECT partition_move_detached('{name}')")
    return name


def record(scratch: Scratch, name: str, version: object, manifest: str) -> None:
    """Record an archive of the rows of this version."""
    statement = "SELECT archive_record(%s, %s, '/archives/' || %s, sha256(%s::bytea))"
    scratch.sql(statement, name, version, manifest, manifest)


RESTORE = """
    SELECT restore_make(event, partition, first, until) FROM closed_months;
    SELECT restore_end(event, partition, first, until, '/archives/a', sha256('a'), true) FROM closed_months
"""


def test_an_archive_of_a_table_from_before_is_not_recorded(scratch: Scratch, detached: str) -> None:
    """A drop and a restore begin the number of changes at 0 again: what is there after them is another version."""
    version = scratch.value("SELECT archive_begin(%s)", detached)
    record(scratch, detached, scratch.value("SELECT archive_begin(%s)", detached), "a")
    scratch.sql(f"SELECT partition_drop('{detached}', sha256('a'))")
    scratch.sql(RESTORE)
    between = scratch.value("SELECT archive_begin(%s)", detached)
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        record(scratch, detached, version, "b")
    scratch.sql(f"DROP TABLE vault_etl_detached.{detached}")  # by hand
    other = NewArchive("/archives/b", bytes(32), 1)
    with scratch.database("admin") as database:
        month = choose(PostgresPartitions(database, 5.0).partitions(), detached)
        with pytest.raises(IncompleteError, match="was changed"):
            PostgresArchives(database).record(REQUEST, month, between, other)
    scratch.sql(RESTORE)
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        record(scratch, detached, between, "b")
    assert scratch.value("SELECT archive FROM closed_months") == "/archives/a"


def test_a_restore_from_the_record_needs_it_until_its_end(scratch: Scratch, detached: str) -> None:
    """The end of the archive takes the erasures along, which the restore would have had to apply."""
    record(scratch, detached, scratch.value("SELECT archive_begin(%s)", detached), "a")
    scratch.sql(f"SELECT partition_drop('{detached}', sha256('a'))")
    scratch.sql(f"SELECT archive_drop('{detached}', sha256('a'))")
    with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState):
        scratch.sql(RESTORE)
    scratch.sql(RESTORE.replace("true", "false"))


def test_a_drop_checks_the_archive_under_its_locks(scratch: Scratch, detached: str) -> None:
    """A drop does not rely on an archive that an attach removed while the drop waited for the month's row."""
    record(scratch, detached, scratch.value("SELECT archive_begin(%s)", detached), "a")
    scratch.sql("ALTER FUNCTION partition_drop SET lock_timeout = '60s'")
    drop = f"SELECT partition_drop('{detached}', sha256('a'))"
    waits = "SELECT count(*) FROM pg_stat_activity WHERE query = %s AND wait_event_type = 'Lock'"
    with ThreadPoolExecutor(1) as beside, scratch.connect() as attach:
        with attach, attach.cursor() as cursor:
            cursor.execute(
                "UPDATE closed_months SET archive = NULL, archive_sha256 = NULL, archived_at = NULL"
            )
            dropped = beside.submit(scratch.sql, drop)
            while not dropped.done() and not scratch.value(waits, drop):
                pass
        with pytest.raises(psycopg2.errors.ObjectNotInPrerequisiteState, match="changed since"):
            dropped.result(30)
    assert (
        scratch.value("SELECT to_regclass(%s) IS NULL", f"vault_etl_detached.{detached}") is False
    )


@pytest.mark.parametrize(
    "change",
    [
        "SET archived_at = NULL",
        "SET archive = 'relative/path'",
        "SET archive_sha256 = 'short'",
        "SET dropped_at = now()",
    ],
)
def test_half_an_archive_is_refused(shared: Scratch, change: str) -> None:
    """All of its columns are set or none, and a month that was dropped has none."""
    shared.sql("DELETE FROM closed_months")
    shared.sql(CLOSE, month_start(-2), month_start(-1), name_of(-2))
    with pytest.raises(psycopg2.errors.CheckViolation):
        shared.sql(f"UPDATE closed_months {change}")
