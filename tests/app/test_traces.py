"""Spans of a real ingest and of real reveals, at a real receiver: what they have, and that no work waits for them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.kit.otlp import Collector, collector
from tests.kit.samples import UNKNOWN, stored_samples
from tests.kit.vault import Vault, sample_events
from vault_etl.app.traces import traces_of
from vault_etl.base.errors import ConfigurationError

OUTCOMES = ("stored", "quarantined", "duplicate", "already_quarantined", "retry")
REASON = "the reason of this test"
WITHOUT_A_LIMIT_S = 30
"""What the library alone waits for its last spans, beside the time of the command."""


@pytest.fixture
def receiver() -> Iterator[Collector]:
    """A receiver that answers at once."""
    with collector() as received:
        yield received


def test_an_ingest_and_its_reveals_are_seen_and_no_value_is(
    vault: Vault, receiver: Collector
) -> None:
    """Each batch is a span with its counts, each reveal one with its request; none has anything of a person."""
    vault.overrides.update(
        receiver.environment | {"OTEL_RESOURCE_ATTRIBUTES": "service.namespace=prod"}
    )
    vault.send(sample_events())
    vault.ok("ingest", "ingest")
    batches = receiver.named("ingest batch")
    counted = sum((Counter(batch.attributes) for batch in batches), Counter[str]())
    assert counted == {
        "vault_etl.messages": 100,
        "vault_etl.stored": 99,
        "vault_etl.quarantined": 1,
        "vault_etl.reason_field_missing": 1,
    }
    assert all(batch.seconds > 0 and not batch.failed for batch in batches)
    resource = batches[0].resource
    assert (resource["service.name"], resource["service.namespace"]) == ("vault-etl", "prod")

    ((record_id, user_id),) = vault.sql("SELECT record_id, user_id FROM user_logins LIMIT 1")
    asked = ("--reason", REASON, "--ticket", "T-4711")
    assert vault.run("reveal", "reveal", str(record_id), UNKNOWN, *asked).code == 66
    done, failed = receiver.named("reveal")
    entries = vault.ok("audit", "audit", "list", "--action", "reveal").lines
    requests = [entry["request_id"] for entry in entries if entry["phase"] == "intent"]
    assert [span.attributes["vault_etl.request_id"] for span in (done, failed)] == requests
    assert (done.failed, failed.failed) == (False, True)
    assert failed.attributes["error.type"] == "not found"
    names = {f"vault_etl.{name}" for name in ("request_id", "action", "fields")}
    assert set(done.attributes) == names
    assert set(failed.attributes) == names | {"error.type"}

    personal = [event[name] for event in stored_samples() for name in ("ip", "device_id")]
    personal += [event["user_id"] for event in stored_samples()]
    for value in (*personal, user_id, str(record_id), REASON, "T-4711"):
        assert value.encode() not in receiver.raw


@pytest.mark.endurance
def test_every_worker_sends_its_spans(quick: Vault, receiver: Collector) -> None:
    """The worker processes make the spans, and their parent makes none."""
    quick.overrides.update(receiver.environment)
    quick.send(sample_events())
    quick.ok("ingest", "ingest", "--workers", "2")
    batches = receiver.named("ingest batch")
    assert sum(int(batch.attributes["vault_etl.messages"]) for batch in batches) == 100


def test_a_batch_that_cannot_be_stored_has_the_class_of_its_error(
    quick: Vault, receiver: Collector
) -> None:
    """The span of a batch says which service failed; the text of the error, which may quote a row, is in none."""
    quick.overrides.update(receiver.environment | {"VAULT_ETL_OUTAGE_WAIT": "0"})
    quick.send(sample_events()[:3])
    quick.sql("REVOKE INSERT ON user_logins FROM vault_etl_ingest")
    assert quick.run("ingest", "ingest").code != 0
    batches = receiver.named("ingest batch")
    assert batches
    assert all(batch.failed for batch in batches)
    assert {batch.attributes["error.type"] for batch in batches} == {"postgres: denied"}


@pytest.mark.command
def test_of_an_error_its_class_alone_is_sent(
    receiver: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text of an error that is not ours may quote a value, and so may its traceback."""
    for name, value in receiver.environment.items():
        monkeypatch.setenv(name, value)
    traces = traces_of(os.environ)
    assert traces
    address = "198.51.100.77"
    with pytest.raises(RuntimeError), traces.span("ingest batch", {"messages": 1}):
        raise RuntimeError(address)
    traces.close()
    (span,) = receiver.spans
    assert (span.failed, span.attributes["error.type"]) == (True, "RuntimeError")
    assert address.encode() not in receiver.raw


@pytest.mark.endurance
@pytest.mark.parametrize("state", ["down", "silent", "refuses"])
def test_an_ingest_does_not_wait_for_a_receiver(quick: Vault, state: str) -> None:
    """A receiver that is down, never answers, or refuses, costs the last second of a command alone."""
    with collector() as received:
        if state == "refuses":
            received.status = 400
        else:
            received.lets_go.clear()
        quick.overrides.update(received.environment)
        if state == "down":
            quick.overrides["OTEL_EXPORTER_OTLP_ENDPOINT"] = "http://127.0.0.1:9"
        # One span a request, as soon as it is there: the first one is under way while the others are made.
        quick.overrides.update(
            OTEL_EXPORTER_OTLP_TIMEOUT="300",
            OTEL_BSP_SCHEDULE_DELAY="1",
            OTEL_BSP_MAX_EXPORT_BATCH_SIZE="1",
            OTEL_BSP_MAX_QUEUE_SIZE="2",
            VAULT_ETL_BATCH_SIZE="10",
        )
        quick.send(sample_events())
        began = time.monotonic()
        done = quick.ok("ingest", "ingest")
        assert done.json["deleted"] == 100
        assert time.monotonic() - began < WITHOUT_A_LIMIT_S
        assert bool(received.asked) == (state != "down")
        assert done.stderr.count("traces are not sent") == (state == "refuses")
        assert not [line for line in done.stderr.splitlines() if not line.startswith("{")]


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"OTEL_TRACES_EXPORTER": "console"}, "OTEL_TRACES_EXPORTER"),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL",
        ),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_BSP_MAX_QUEUE_SIZE": "-1"}, "OTEL_BSP_"),
    ],
    ids=["exporter", "protocol", "value"],
)
def test_what_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], named: str
) -> None:
    """A variable that asks for another exporter or protocol, or has a wrong value, is named before any work."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=named):
        traces_of(os.environ)


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_TRACES_EXPORTER": "none"},
        {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"},
    ],
    ids=["endpoint", "none", "disabled"],
)
def test_only_the_name_of_the_exporter_turns_traces_on(variables: dict[str, str]) -> None:
    """An endpoint that a platform gives to every process does not, and the usual switches turn them off."""
    assert traces_of(variables) is None


def test_nothing_of_it_is_imported_when_it_is_off(loaded: Vault) -> None:
    """An ingest without traces imports neither OpenTelemetry nor what that needs."""
    run = (
        "import sys; from vault_etl.cli.main import main\n"
        "try: main()\n"
        "finally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", run, "ingest", "--quiet"],
        env=loaded.environment("ingest") | {"OTEL_TRACES_EXPORTER": ""},
        cwd=loaded.home,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = set(done.stderr.splitlines()[-1].split())
    assert "vault_etl.ingest.steps" in imported
    absent = {"opentelemetry", "google.protobuf", "requests", "vault_etl.platform.traces"}
    assert not absent & imported
