"""Rotations that are told to stop or to be slow, and rotations that may not begin or cut over."""

from __future__ import annotations

import signal
import time
from contextlib import closing

import pytest

from tests.kit.declarations import BOTH_APART
from tests.kit.processes import fails, finish, start
from tests.kit.sessions import connect
from tests.kit.vault import Vault
from tests.rotation.contents import contents, of_events
from tests.rotation.events import MONTHS, RECORDS, dated_messages, load_file
from tests.rotation.kills import rotate, rotating
from tests.rotation.rows import rows
from tests.rotation.watch import LOOK_S, Watch
from vault_etl.app.rotation import ROTATION_WORKERS

SLOW = ("--rate", "1")
"""The rotation takes 20 s, since a busy machine may lose some before the signal is sent."""
RATE = 12
CLAIMED_BY_ANOTHER = (
    "UPDATE rotation_ranges SET claim = gen_random_uuid(),"
    " claimed_until = clock_timestamp() + interval '1 min' WHERE NOT done"
)
A_PAGE = RECORDS // MONTHS
"""The largest number of rows in a range."""


@pytest.mark.parametrize("rotation_empty", BOTH_APART, indirect=True)
@pytest.mark.parametrize(
    ("options", "purpose", "number", "code"),
    [((), "data", signal.SIGTERM, 75), (("--tokens",), "token", signal.SIGINT, 130)],
)
def test_a_stopped_rotation_is_continued_later(
    rotation_empty: Vault,
    options: tuple[str, ...],
    purpose: str,
    number: signal.Signals,
    code: int,
) -> None:
    """SIGTERM is exit 75 and Ctrl-C 130; claims are freed, and the next run does the rest alone.

    If a process that is gone has claimed all remaining ranges, the next run says what it waits for.
    """
    vault = rotation_empty
    bodies = dated_messages(vault.declaration, RECORDS, MONTHS)
    load_file(vault, bodies)
    with Watch(vault) as watch:
        process = rotating(vault, *options, *SLOW)
        watch.until(lambda: 0 < watch.work_left(purpose) < RECORDS)
        process.send_signal(number)
        stopped = finish(process)
        assert stopped.code == code, stopped.stderr
        left = watch.work_left(purpose)
        assert 0 < left < RECORDS
        claims = "SELECT count(*) FROM rotation_ranges WHERE NOT done AND claimed_until IS NOT NULL"
        assert watch.value(claims) == 0
        assert watch.left_behind(purpose) == 0
        watch.rows(CLAIMED_BY_ANOTHER)
        process = start(vault, "re-encrypt", "keys", "rotate", "--yes", *options)
        assert process.stderr is not None
        assert any("ranges that another process has claimed" in line for line in process.stderr)
        watch.let_claims_lapse()
        result = finish(process)
    assert result.code == 0, result.stderr
    remaining = "values_remaining" if purpose == "data" else "rows_remaining"
    assert result.json[remaining] == 0
    found = contents(vault)
    assert found.records == of_events(bodies, vault.declaration)
    assert found.wrong_tokens == ()


def test_a_rate_is_kept(two: Vault) -> None:
    """The rate is rows a second of all workers together, apart from the first page of each worker."""
    old = [int.from_bytes(row["ip"][1:5], "big") for row in rows(two).values()]
    under = "SELECT count(*) FROM user_logins WHERE ciphertext_key_id(ip_ciphertext) = ANY (%s)"
    with Watch(two) as watch:
        process = rotating(two, "--rate", str(RATE))
        began = looked = time.monotonic()
        while (left := watch.value(under, old)) > 0:
            if left == len(old):
                began = looked
            looked = time.monotonic()
            assert process.poll() in {None, 0}
            time.sleep(LOOK_S)
        assert time.monotonic() - began >= (len(old) - ROTATION_WORKERS * A_PAGE) / RATE
        assert finish(process).code == 0


def test_a_view_that_depends_on_the_columns_blocks_the_cut_over(rotation_filled: Vault) -> None:
    """Exit 78 names the view, and no cut-over is made; without the view the same rotation finishes.

    The next rotation must wait until the old tokens are destroyed: exit 78 too.
    """
    rotation_filled.sql(
        "CREATE VIEW vault_etl.of_devices AS SELECT masked_device_id FROM vault_etl.user_logins"
    )
    fails(rotate(rotation_filled, "--tokens"), 78, "view vault_etl.of_devices")
    assert rotation_filled.sql("SELECT DISTINCT token_generation FROM user_logins") == [(1,)]
    rotation_filled.sql("DROP VIEW vault_etl.of_devices")
    assert rotate(rotation_filled, "--tokens").code == 0
    assert contents(rotation_filled).generations == {(2, 1): RECORDS}
    fails(
        rotate(rotation_filled, "--tokens"),
        78,
        "the tokens of the generation before are still kept",
    )


TEMPORARY = (
    "CREATE TEMP VIEW of_devices AS SELECT masked_device_id FROM vault_etl.user_logins;"
    " CREATE FUNCTION pg_temp.addresses() RETURNS SETOF uuid BEGIN ATOMIC"
    " SELECT masked_ip FROM vault_etl.user_logins; END"
)


def test_temporary_objects_do_not_block_the_cut_over(rotation_filled: Vault) -> None:
    """A login may make such objects over columns that it may not read; they end with its session."""
    with closing(connect(rotation_filled.database_url("ingest"))) as session:
        session.autocommit = True
        with session.cursor() as cursor:
            cursor.execute(TEMPORARY)
        assert rotate(rotation_filled, "--tokens").code == 0
    assert rotation_filled.sql("SELECT DISTINCT token_generation FROM user_logins") == [(2,)]
