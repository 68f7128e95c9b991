"""A cut-over beside a vacuum of a partition."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.kit.cut_over import Ready
from tests.kit.databases import admin
from tests.kit.months import name_of
from tests.kit.scratch import Scratch
from tests.kit.waiting import until
from tests.rotation.blockers import (
    attempted,
    blocking,
    seen_waiting,
)
from vault_etl.platform.waiting import Blocked


@pytest.fixture
def vault(to_cut_over: Ready) -> Ready:
    """A vault that is ready for a cut-over."""
    return to_cut_over


def test_no_loader_waits_for_an_attempt_that_waits_for_a_vacuum(vault: Ready) -> None:
    """The wait may take a second: the attempt then holds only locks like those of a vacuum."""
    held = (
        "SELECT DISTINCT l.mode FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
        " WHERE l.granted AND a.usename = 'test_re_encrypt' AND a.datname = current_database()"
        " AND l.relation >= 16384"
    )
    vacuum = ("admin", f"LOCK TABLE ONLY {name_of(0)} IN SHARE UPDATE EXCLUSIVE MODE")
    with ExitStack() as stack:
        waiting = stack.enter_context(seen_waiting(vault.scratch))
        opened = stack.enter_context(blocking(vault, vacuum))
        outcome = stack.enter_context(attempted(vault))
        until(lambda: waiting() == {name_of(0)})
        modes = {mode for (mode,) in vault.scratch.sql(held)}
        with opened.cursor() as cursor:  # the modes count only while the attempt still waits
            cursor.execute("SELECT count(*) FROM pg_locks WHERE NOT granted")
            assert cursor.fetchall() == [(1,)]
        assert modes == {"ShareUpdateExclusiveLock"}
        assert isinstance(blocked := outcome.result(), Blocked)
        assert f"pid {opened.info.backend_pid} (admin)" in blocked.by


@pytest.fixture
def vacuuming(vault: Ready) -> Iterator[Ready]:
    """An autovacuum that works in a partition for many seconds."""
    scratch = vault.scratch
    with admin(scratch.server, "postgres") as cursor:
        cursor.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
        cursor.execute("SELECT pg_reload_conf()")
    try:
        scratch.sql(
            f"ALTER TABLE {name_of(0)} SET (autovacuum_vacuum_threshold = 0,"
            " autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 100,"
            " autovacuum_vacuum_cost_limit = 1)"
        )
        scratch.sql(
            "INSERT INTO user_logins (record_id, user_id, device_type, create_date)"
            " SELECT overlay(%s::text PLACING lpad(i::text, 12, '0') FROM 25)::uuid, 'u', 'd', now()"
            " FROM generate_series(1, 2000) AS i",
            vault.records[0].record_id,
        )
        scratch.sql("UPDATE user_logins SET user_id = 'v' WHERE user_id = 'u'")
        until(lambda: is_vacuumed(scratch), 60)
        yield vault
    finally:
        with admin(scratch.server, "postgres") as cursor:
            cursor.execute("ALTER SYSTEM RESET autovacuum_naptime")
            cursor.execute("SELECT pg_reload_conf()")


def is_vacuumed(scratch: Scratch) -> bool:
    """Return True if an autovacuum holds a lock on the partition."""
    locks = (
        "SELECT count(*) FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid)"
        " WHERE a.backend_type = 'autovacuum worker' AND l.relation = %s::regclass AND l.granted"
    )
    return bool(scratch.value(locks, name_of(0)))


def test_an_autovacuum_gives_way(vacuuming: Ready) -> None:
    """The first attempt succeeds, without a superuser's right; the autovacuum would hold its lock for many seconds."""
    scratch = vacuuming.scratch
    may = "SELECT has_parameter_privilege('vault_etl_owner', 'deadlock_timeout', 'SET')"
    assert not scratch.value(may)
    vacuuming.swap()
    assert scratch.value("SELECT pg_stat_get_autovacuum_count(%s::regclass)", name_of(0)) == 0
