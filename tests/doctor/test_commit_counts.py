"""Commits that `status` reports: a row for each session and minute, for an hour, without what was rolled back."""

from __future__ import annotations

import datetime as dt

from tests.kit.declared import FIELDS
from tests.kit.scratch import Scratch, sealed_record, sealed_rejection
from vault_etl.doctor.postgres import PostgresFacts
from vault_etl.doctor.status import Commits
from vault_etl.records.fenced_writes import KeysChanged, Loaded, WriteKeys
from vault_etl.records.months import sent_at

COUNT = "SELECT vault_etl.ingest_committed(%s, NULL)"
OLD = "INSERT INTO ingest_commits VALUES (now() - make_interval(mins => %s), 'gone', 1, 1, now(), NULL)"


def commits(scratch: Scratch) -> Commits | None:
    """Return the last commit, as every role sees it."""
    with scratch.database("analyst") as database:
        return PostgresFacts(database).commits()


def test_a_batch_counts_once_it_is_committed(scratch: Scratch) -> None:
    """The row has records, rejections and the newest time; a batch that the fence refuses counts nothing."""
    scratch.add_token_keys()
    keys = scratch.write_keys(*FIELDS)
    assert commits(scratch) is None
    rows, rejected = [sealed_record(keys), sealed_record(keys)], [sealed_rejection(keys)]
    with scratch.loader() as loader:
        assert loader.load(rows, rejected, WriteKeys((9, None), keys.data_keys)) == KeysChanged()
        assert commits(scratch) is None
        assert isinstance(loader.load(rows, rejected, keys), Loaded)
        assert isinstance(loader.load(rows, rejected, keys), Loaded)
    found = commits(scratch)
    assert found is not None
    assert found.messages == 6
    newest = sent_at(max(rejected[0].record_id, *(row.record_id for row in rows)))
    assert newest is not None
    assert found.newest_sent == newest.replace(microsecond=0)
    assert dt.timedelta() <= found.now - found.last < dt.timedelta(minutes=1)
    assert dt.timedelta(minutes=5) <= found.now - found.since < dt.timedelta(minutes=6)


def test_an_hour_is_kept_and_no_session_waits(scratch: Scratch) -> None:
    """Two sessions count at once, and each skips rows that the other deletes."""
    for minutes in (59, 62, 63):
        scratch.sql(OLD, minutes)
    with scratch.connect("ingest") as one, scratch.connect("ingest") as two:
        for connection in (one, two):
            with connection.cursor() as cursor:
                cursor.execute("SET lock_timeout = '1s'")
                cursor.execute(COUNT, (5,))
        one.commit()
        two.commit()
    rows = scratch.sql(
        "SELECT login, sum(messages)::int FROM ingest_commits GROUP BY login ORDER BY 1"
    )
    assert rows == [("gone", 1), ("test_ingest", 10)]
