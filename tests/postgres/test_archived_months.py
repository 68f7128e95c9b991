"""A month whose rows are in its archive alone, and what an erasure leaves to do there."""

from __future__ import annotations

import psycopg2.errors
import pytest

from tests.postgres.scratch import Scratch
from tests.postgres.test_partitions import month_start, name_of

CLOSE = (
    "INSERT INTO closed_months (first, until, partition, archive, archive_sha256, archived_at)"
    " SELECT first_record_id(%s), first_record_id(%s), %s, '/archives/a', sha256('manifest'), now()"
)


def test_a_month_is_archived_when_its_table_is_gone(scratch: Scratch) -> None:
    """While it is there the month is detached, and its counts outlive it."""
    name = name_of(-2)
    scratch.sql(CLOSE, month_start(-2), month_start(-1), name)
    scratch.sql(f"ALTER TABLE user_logins DETACH PARTITION {name}")
    scratch.sql(f"SELECT partition_put_away('{name}')")
    state = f"SELECT state, archive, erasures FROM partition_list() WHERE partition = '{name}'"  # noqa: S608
    assert scratch.sql(state) == [("detached", "/archives/a", 0)]
    scratch.sql(
        "INSERT INTO detached_values SELECT first, 'ip', 7, '2026-01-01', 2 FROM closed_months;"
        " INSERT INTO archived_erasures (first, user_id) SELECT first, 'u' FROM closed_months"
    )
    scratch.sql(f"SELECT partition_drop('{name}', sha256('manifest'))")
    assert scratch.sql(state) == [("archived", "/archives/a", 1)]
    assert scratch.value("SELECT sum(held) FROM detached_values") == 2
    scratch.sql("DELETE FROM closed_months")
    assert scratch.value("SELECT count(*) FROM archived_erasures") == 0


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
