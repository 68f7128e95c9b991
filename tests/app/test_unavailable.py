"""Exit 69: SQS, KMS, STS or Postgres is away; the error comes within a bounded time, and no message is lost."""

from __future__ import annotations

import json
import time

import pytest

from tests.kit.events import events
from tests.kit.processes import fails, finish, start
from tests.kit.proxy import Call, FaultProxy, Judge, closed_port, silent_port
from tests.kit.samples import UNKNOWN
from tests.kit.vault import Vault

BOUND_SECONDS = 45

REVEAL = ("reveal", UNKNOWN, "--reason", "x")
CASES = {
    "Postgres": ("analyst", ("duplicates", "--field", "ip"), "VAULT_ETL_DATABASE_URL"),
    "SQS": ("ingest", ("ingest",), "AWS_ENDPOINT_URL_SQS"),
    "KMS": ("ingest", ("ingest",), "AWS_ENDPOINT_URL_KMS"),
    "STS": ("reveal", REVEAL, "AWS_ENDPOINT_URL_STS"),
}


@pytest.mark.parametrize("service", CASES)
def test_a_closed_port_is_told(loaded: Vault, service: str) -> None:
    """A command that cannot connect says what it cannot reach, and what to check."""
    role, command, setting = CASES[service]
    result = loaded.run(role, *command, extra={setting: address(setting, closed_port())})
    fails(result, 69, f"{service} cannot be reached")


@pytest.mark.timeout(120)
def test_silence_is_told_within_45_seconds(loaded: Vault) -> None:
    """Each command gives up by itself if connections are accepted and never answered."""
    with silent_port() as port:
        running = {
            service: start(loaded, role, *command, extra={setting: address(setting, port)})
            for service, (role, command, setting) in CASES.items()
        }
        ends = time.monotonic() + BOUND_SECONDS
        for service, process in running.items():
            result = finish(process, max(1, ends - time.monotonic()))
            says = "cannot be reached" if service == "Postgres" else "does not answer in time"
            fails(result, 69, f"{service} {says}")


def test_a_database_that_comes_back_is_waited_for(quick: Vault) -> None:
    """A batch in hand is held while the connection is cut, and stored over a new connection."""
    cuts: list[Call] = []

    def cut_once(call: Call) -> bool:
        if call.operation == "GenerateDataKey" and not cuts:
            cuts.append(call)
            cut(quick)
        return True

    quick.send(events(12))
    with FaultProxy(quick.endpoint, cut_once) as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        summary = quick.ok("ingest", "ingest", extra=extra).json
    assert cuts
    assert (summary["received"], summary["stored"], summary["given_back"]) == (12, 12, 0)


def test_a_database_that_stays_away_in_mid_batch_loses_nothing(quick: Vault) -> None:
    """Exit 69 when patience is over: the batch in hand is given back, not deleted."""

    def cut_off(call: Call) -> bool:
        if call.operation == "GenerateDataKey":
            quick.sql("ALTER ROLE test_ingest CONNECTION LIMIT 0")
            cut(quick)
        return True

    try:
        ingest_gives_back(quick, cut_off, "Postgres")
    finally:
        quick.sql("ALTER ROLE test_ingest CONNECTION LIMIT -1")


def test_a_kms_that_goes_away_in_mid_batch_loses_nothing(quick: Vault) -> None:
    """Exit 69 when patience is over: the batch in hand is given back, not deleted."""
    ingest_gives_back(quick, lambda call: call.operation != "GenerateDataKey", "KMS")


def cut(vault: Vault) -> None:
    """Take ingest's connection away."""
    vault.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND usename = 'test_ingest'"
    )


def ingest_gives_back(vault: Vault, kms_judge: Judge, names: str) -> None:
    """Run ingest with this KMS; all of its messages must be given back, for 5 to 30 seconds."""
    vault.send(events(12))
    with FaultProxy(vault.endpoint, kms_judge) as kms, FaultProxy(vault.endpoint) as sqs:
        extra = {
            "AWS_ENDPOINT_URL_KMS": kms.url,
            "AWS_ENDPOINT_URL_SQS": sqs.url,
            "VAULT_ETL_OUTAGE_WAIT": "1",
        }
        fails(vault.run("ingest", "ingest", extra=extra), 69, names)
    assert "DeleteMessageBatch" not in sqs.operations()
    changes = [
        (entry["ReceiptHandle"], entry["VisibilityTimeout"])
        for call in sqs.calls
        if call.operation == "ChangeMessageVisibilityBatch"
        for entry in json.loads(call.body)["Entries"]
    ]
    last = dict(changes)  # a slow KMS may have had them extended first
    assert len(last) == 12
    assert all(5 <= seconds <= 30 for seconds in last.values())
    assert vault.count("user_logins") == 0


def address(setting: str, port: int) -> str:
    """The value of the setting that leads to this port."""
    if setting.startswith("AWS"):
        return f"http://127.0.0.1:{port}"
    return f"postgresql://someone:sekret-word@127.0.0.1:{port}/somewhere"
