"""Postgres refuses, fails over, cuts, locks: it is waited for, and nothing is lost or stored twice."""

from __future__ import annotations

import datetime as dt
import functools
import time

import pytest

from tests.endurance.outages.faults import (
    DatabaseFault,
    behind,
    closed_to_ingest,
    cut,
    failed_over,
    full_up,
    locked,
    refusing,
    waiting_backend,
)
from tests.endurance.outages.following import following
from tests.endurance.outages.line import set_visibility
from tests.endurance.outages.survival import everything_once, survives
from tests.endurance.outages.together import Together
from tests.kit.events import events
from tests.kit.tcp_proxy import Fault, TcpProxy
from tests.kit.vault import Vault

AT_ONCE = 4


def an_outage(vault: Vault, fault: DatabaseFault, word: str) -> None:
    """An outage: not ready, nothing received or deleted meanwhile; then every message is stored once, by itself."""
    with following(vault) as run:
        vault.send(events(3))
        run.until_settled(3)
        survives(run, fault(vault), word)


def reset(vault: Vault) -> None:
    """The line to it is cut, again and again."""
    with (
        TcpProxy(vault.server.port) as line,
        following(vault, VAULT_ETL_DATABASE_URL=behind(vault, line)) as run,
    ):
        survives(run, line.broken(Fault.RESET), "unavailable")
        assert line.hits[Fault.RESET] >= 2


def months_gone(vault: Vault) -> None:
    """A dropped month is made again; the messages of a detached month are quarantined. No worker ends."""
    month = f"user_logins_{dt.datetime.now(dt.UTC):%Y_%m}"
    with following(vault) as run:
        vault.send(events(3))
        run.until_settled(3)
        vault.sql(f"DROP TABLE {month}")
        vault.send(events(4))
        run.until_settled(4)
        assert vault.count("user_logins") == 4
        vault.sql(f"ALTER TABLE user_logins DETACH PARTITION {month}")
        vault.send(events(2))
        run.until_settled(2)
        assert vault.sql("SELECT reason_code FROM quarantine") == [("sent_out_of_range",)] * 2
        run.until_ready()


def killed_while_idle(vault: Vault) -> None:
    """The next batch finds the connection gone, and is stored over another one."""
    with following(vault) as run:
        vault.send(events(3))
        run.until_settled(3)
        cut(vault)
        vault.send(events(12))
        run.until_settled(15)
        run.until_ready()
        assert run.was_away() == {"unavailable"}
        everything_once(run, 15)


def killed_in_mid_transaction(vault: Vault) -> None:
    """Postgres undoes the transaction, ingest holds the batch, and another transaction stores the batch."""
    with following(vault) as run:
        run.until_ready()
        with locked(vault):
            vault.send(events(12))
            waiting_backend(vault)
            cut(vault)
            run.until_away("unavailable")
        run.until_settled(12)
        run.until_ready()
        everything_once(run, 12)


def deadlock(vault: Vault) -> None:
    """A real one, in which Postgres ends ingest's transaction and not the other: it is tried again."""
    vault.sql(f"ALTER DATABASE \"{vault.database}\" SET deadlock_timeout = '3s'")
    with following(vault) as run:
        run.until_ready()
        with locked(vault) as other, other.cursor() as cursor:
            cursor.execute("SET LOCAL deadlock_timeout = '50s'")
            vault.send(events(12))
            waiting_backend(vault)
            cursor.execute("LOCK TABLE vault_etl.key_fence IN ACCESS EXCLUSIVE MODE")
            run.until_away("locked")
        run.until_settled(12)
        run.until_ready()
        everything_once(run, 12)


def slow(vault: Vault) -> None:
    """A batch that takes longer than the queue's visibility timeout is received by no other worker."""
    visibility = 3
    set_visibility(vault, visibility)
    with following(vault) as run:
        run.until_ready()
        with locked(vault):
            vault.send(events(12))
            waiting_backend(vault)
            time.sleep(3 * visibility)
        run.until_settled(12)
        assert set(run.extended()) == {visibility}
        assert len(run.extended()) >= 3 * 12
        assert run.was_away() == set()
        everything_once(run, 12)


def _outage(fault: DatabaseFault, word: str = "unavailable") -> functools.partial[None]:
    return functools.partial(an_outage, fault=fault, word=word)


CASES = {
    "full up": _outage(full_up),
    "closed to ingest": _outage(closed_to_ingest, "denied"),
    "reset": reset,
    "failed over": _outage(failed_over),
    "disk full": _outage(refusing("53100")),
    "serialization failure": _outage(refusing("40001")),
    "idle transaction ended": _outage(refusing("25P03")),
    "statement cancelled": _outage(refusing("57014")),
    "lock not granted": _outage(refusing("55P03"), "locked"),
    "deadlock": deadlock,
    "months gone": months_gone,
    "killed while idle": killed_while_idle,
    "killed in mid-transaction": killed_in_mid_transaction,
    "slow": slow,
}


@pytest.mark.parametrize("case", CASES)
def test_a_fault_of_the_database_is_waited_for(cases: Together, case: str) -> None:
    """Ingest goes on by itself when it is over; every message is received, stored and deleted once."""
    cases.result(case)
