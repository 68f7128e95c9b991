"""`keys destroy` beside workers and loaders: it waits for the fence, and stops no loader."""

from __future__ import annotations

from tests.keys.key_rows import LEFT, STATE, data_key, expired_key
from tests.keys.lock_waits import holding, waits
from tests.kit.events import events
from tests.kit.generations import reveal_all, send_and_wait
from tests.kit.processes import fails, finish, start
from tests.kit.vault import Vault


def test_a_worker_keeps_its_key(quick: Vault) -> None:
    """The key stays while its lease runs; once it is retired and its rows are re-encrypted, it is destroyed."""
    quick.set_policy({"reveals_an_hour": 100, "purposes": {}})
    extra = {"VAULT_ETL_FOLLOW_WAIT": "0", "VAULT_ETL_LINGER": "0.2"}
    ingest = start(quick, "ingest", "ingest", "--follow", extra=extra)
    send_and_wait(quick, ingest, 20)
    key_id = data_key(quick, "ip")
    refused = quick.run("rotate", "keys", "destroy", str(key_id), "--yes")
    fails(refused, 78, "20 values of records, 1 running lease")
    send_and_wait(quick, ingest, 40)
    assert data_key(quick, "ip") == key_id
    quick.ok("re-encrypt", "keys", "rotate", "--yes")
    assert quick.ok("rotate", "keys", "destroy", str(key_id), "--yes").json["destroyed"] == [key_id]
    send_and_wait(quick, ingest, 60)
    ingest.terminate()
    assert finish(ingest).json["stored"] == 60
    assert len(reveal_all(quick)) == 60


def test_a_batch_that_passed_the_fence_is_waited_for(filled: Vault) -> None:
    """Its row is committed before the count: the lease ran out meanwhile, and the key is needed."""
    key_id = expired_key(filled)
    stored = b"\x01" + key_id.to_bytes(4, "big") + bytes(44)
    with holding(filled, "LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE") as cursor:
        process = start(filled, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(filled, process)
        cursor.execute("UPDATE user_logins SET ip_ciphertext = %s", (stored,))
    fails(finish(process), 78, "3 values of records")
    assert filled.sql(STATE, key_id) == [LEFT]


def test_the_end_waits_for_the_fence(filled: Vault) -> None:
    """The state changes behind the fence, as with every change of a key."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    with holding(filled, "LOCK TABLE vault_etl.key_fence IN ROW EXCLUSIVE MODE"):
        process = start(filled, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(filled, process)
        assert filled.sql(STATE, key_id) == [LEFT]
    assert finish(process).json["destroyed"] == [key_id]


def test_loaders_continue_during_the_count(filled: Vault) -> None:
    """Another session's lock on the table holds up the count, and an ingest passes the fence meanwhile."""
    key_id = data_key(filled, "ip")
    filled.ok("re-encrypt", "keys", "rotate", "--yes")
    with holding(filled, "LOCK TABLE vault_etl.quarantine IN ACCESS EXCLUSIVE MODE"):
        process = start(filled, "rotate", "keys", "destroy", str(key_id), "--yes")
        waits(filled, process)
        filled.send(events(2))
        assert filled.ok("ingest", "ingest").json["stored"] == 2
        assert process.poll() is None
    assert finish(process).json["destroyed"] == [key_id]
