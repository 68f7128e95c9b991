"""Ends of an ingest with workers by itself: its counts, its exit codes, its two lines of an error."""

from __future__ import annotations

import pytest

from tests.endurance.workers.processes import listening, running, workers_of
from tests.kit.events import events
from tests.kit.processes import fails, finish
from tests.kit.vault import Vault
from tests.kit.waiting import until

FORMAT = 1
KEY_ID = slice(1, 5)


def test_a_drain_is_shared(quick: Vault) -> None:
    """All is stored once, the counts are those of all workers, and the law of sums holds."""
    quick.send(events(60))
    summary = quick.ok("ingest", "ingest", "--workers", "2").json
    assert summary["stored"] == summary["deleted"] == quick.count("user_logins") == 60
    assert summary["received"] == 60 + summary["duplicates"] + summary["given_back"]
    assert quick.depth() == (0, 0, 0)


def test_max_messages_counts_over_all(quick: Vault) -> None:
    """Seven in all, not seven each; the rest stays on the queue."""
    quick.send(events(30))
    summary = quick.ok("ingest", "ingest", "--workers", "2", "--max-messages", "7").json
    assert summary["received"] == summary["stored"] == 7
    assert quick.depth() == (23, 0, 0)


def test_each_worker_has_keys_of_its_own(quick: Vault) -> None:
    """Two workers that sealed ten messages each: two data keys a field, and each sealed ten."""
    quick.send(events(20))
    quick.ok("ingest", "ingest", "--workers", "2", "--max-messages", "20")
    made = dict(quick.sql("SELECT key_id, field FROM data_keys WHERE purpose = 'data'"))
    assert sorted(made.values()) == ["device_id", "device_id", "ip", "ip"]
    for field in ("ip", "device_id"):
        rows = quick.sql(f"SELECT {field}_ciphertext FROM user_logins")  # noqa: S608 - a name of ours
        used = [int.from_bytes(bytes(ciphertext)[KEY_ID]) for (ciphertext,) in rows]
        assert sorted(map(used.count, set(used))) == [10, 10]
        assert {made[key_id] for key_id in used} == {field}


@pytest.mark.parametrize("follow", [(), ("--follow",)], ids=["drain", "follow"])
def test_workers_without_token_keys_end_all(bare_vault: Vault, follow: tuple[str, ...]) -> None:
    """Exit 78 of a worker is the parent's, told once; no worker is started again."""
    with running(bare_vault, *follow) as parent:
        result = finish(parent)
    fails(result, 78, "token key")


def test_refused_workers_end_all(quick: Vault) -> None:
    """Exit 77 of a worker is the parent's, told once."""
    extra = {"VAULT_ETL_DATABASE_URL": quick.database_url("analyst")}
    with running(quick, "--follow", extra=extra) as parent:
        result = finish(parent)
    fails(result, 77, "Postgres")


def test_a_refused_worker_ends_the_others_cleanly(quick: Vault) -> None:
    """A refusal while others have messages in hand: those are given back, and no worker is left."""
    with running(quick, "--follow", extra={"VAULT_ETL_LINGER": "30"}) as parent:
        until(lambda: listening(quick, 2))
        quick.send(events(20))
        until(lambda: quick.depth()[1] == 20)
        other, one = workers_of(parent.pid)
        quick.sql("REVOKE vault_etl_ingest FROM test_ingest")
        try:
            one.kill()  # the one in its place is refused at once
            result = finish(parent)
        finally:
            quick.sql("GRANT vault_etl_ingest TO test_ingest")
        assert not other.is_running()
    fails(result, 77, "Postgres")
    assert quick.count("user_logins") == 0
    assert quick.depth() == (0, 20, 0)
