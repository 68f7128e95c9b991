"""A data key belongs to one process for a time and a number of seals; then ingest takes a new key, without a pause."""

from __future__ import annotations

import signal
import time
from pathlib import Path

from tests.kit.events import events
from tests.kit.processes import fails, finish, start
from tests.kit.proxy import Call, FaultProxy
from tests.kit.vault import Vault
from tests.kit.waiting import until

SHORT = {"VAULT_ETL_LEASE_HOURS": str(0.2 / 3600)}
IMPATIENT = {"VAULT_ETL_OUTAGE_WAIT": "1"}
SMALL_BATCHES = {"VAULT_ETL_BATCH_SIZE": "10", "VAULT_ETL_LINGER": "0"}


def unhurried(_call: Call) -> bool:
    """A queue that takes its time, so that a run outlasts a lease on any emulator."""
    time.sleep(0.1)
    return True


def test_a_lease_that_ends_by_age_is_renewed_and_nothing_is_lost(quick: Vault) -> None:
    """Over many leases of a fifth of a second every message is stored, in one run, under key after key."""
    quick.send(events(100))
    with FaultProxy(quick.endpoint, unhurried) as sqs:
        extra = {"AWS_ENDPOINT_URL_SQS": sqs.url, **SHORT, **SMALL_BATCHES}
        summary = quick.ok("ingest", "ingest", extra=extra).json
    assert (summary["stored"], summary["deleted"]) == (100, 100)
    ((keys, fields),) = quick.sql(
        "SELECT count(*), count(DISTINCT field) FROM data_keys WHERE purpose = 'data'"
    )
    assert fields == 2
    assert keys > fields


class DiesAfterTwoKeys:
    """A KMS that makes two keys, and then answers no request for another."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(self, call: Call) -> bool:
        """Say whether the call is answered."""
        self.asked += call.operation == "GenerateDataKey"
        return call.operation != "GenerateDataKey" or self.asked <= 2


def test_a_key_is_good_to_the_end_of_its_lease_when_kms_is_away(quick: Vault) -> None:
    """KMS makes no key after the first two: the queue is drained under those."""
    judge = DiesAfterTwoKeys()
    quick.send(events(60))
    with FaultProxy(quick.endpoint, judge) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url, **SMALL_BATCHES}
        summary = quick.ok("ingest", "ingest", extra=extra).json
    assert summary["stored"] == 60
    assert judge.asked == 2


def test_without_a_new_key_ingest_stops_receiving_says_so_and_gives_back(quick: Vault) -> None:
    """At the end of the lease, with KMS away: exit 69 names KMS, and what was not stored is in the queue."""
    quick.send(events(100))
    with (
        FaultProxy(quick.endpoint, DiesAfterTwoKeys()) as kms,
        FaultProxy(quick.endpoint, unhurried) as sqs,
    ):
        urls = {"AWS_ENDPOINT_URL_KMS": kms.url, "AWS_ENDPOINT_URL_SQS": sqs.url}
        extra = {**urls, **SHORT, **SMALL_BATCHES, **IMPATIENT}
        fails(quick.run("ingest", "ingest", extra=extra), 69, "KMS")
    stored = quick.count("user_logins")
    assert stored < 100  # none, if the lease was over before the first batch was written
    visible, in_flight, delayed = quick.depth()
    assert stored + visible + in_flight + delayed == 100


def test_a_kms_that_is_slow_and_throttles_is_waited_for(vault: Vault) -> None:
    """Every call takes a second and is throttled once: all is stored, and no key is made twice."""
    seen: list[str] = []

    def throttles_every_other_call(call: Call) -> bool | str:
        time.sleep(1)
        seen.append(call.operation)
        return "ThrottlingException" if seen.count(call.operation) % 2 else True

    vault.send(events(20))
    with FaultProxy(vault.endpoint, throttles_every_other_call) as kms:
        summary = vault.ok("ingest", "ingest", extra={"AWS_ENDPOINT_URL_KMS": kms.url}).json
    assert (summary["stored"], summary["deleted"]) == (20, 20)
    assert seen.count("GenerateDataKey") == 4
    assert vault.sql("SELECT count(*) FROM data_keys WHERE purpose = 'data'") == [(2,)]


def test_a_kms_that_only_throttles_is_away(vault: Vault) -> None:
    """After the tries that the SDK is given: exit 69 names KMS, and everything is back in the queue."""
    vault.send(events(20))
    with FaultProxy(
        vault.endpoint, lambda call: call.operation != "GenerateDataKey" or "ThrottlingException"
    ) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url, **IMPATIENT}
        result = vault.run("ingest", "ingest", extra=extra)
    fails(result, 69, "KMS")
    assert vault.count("user_logins") == 0
    assert sum(vault.depth()) == 20


def test_an_empty_run_makes_no_key(quick: Vault) -> None:
    """A key is made before its first seal, and not at all if there is none."""
    quick.ok("ingest", "ingest")
    assert quick.sql("SELECT count(*) FROM data_keys WHERE purpose = 'data'") == [(0,)]


def test_a_worker_can_leave_no_core_dump(quick: Vault) -> None:
    """The limit of a running ingest is nothing, whatever the caller's was."""
    quick.send(events(30))
    process = start(quick, "ingest", "ingest", extra=SMALL_BATCHES)
    until(lambda: quick.count("user_logins"), lives=lambda: process.poll() is None)
    limits = Path(f"/proc/{process.pid}/limits").read_text(encoding="utf-8")
    process.send_signal(signal.SIGTERM)
    assert finish(process).code == 0
    (line,) = [line for line in limits.splitlines() if line.startswith("Max core file size")]
    assert line.split()[4:6] == ["0", "0"]
