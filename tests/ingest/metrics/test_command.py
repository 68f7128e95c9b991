"""The real command, seen from outside: metrics and probes, through kills, outages and a clean end."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.attacks.leaks.search import found as leaked
from tests.ingest.metrics.reports import Samples, samples, value
from tests.kit import http
from tests.kit.events import event
from tests.kit.processes import TERMINAL, fails, start_with, terminal
from tests.kit.tcp_proxy import Fault, TcpProxy
from tests.kit.vault import Vault
from tests.kit.waiting import until

DAY = 86_400
CANARY = "203.0.113.77"
SECONDS = 60


class Served:
    """A running `ingest --follow` that serves metrics."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self.log = log
        self.address = ""

    def lines(self) -> list[dict[str, object]]:
        """Return the complete log lines so far."""
        whole = self.log.read_text(encoding="utf-8").rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def get(self, path: str) -> tuple[int, bytes]:
        """Return status and body."""
        return http.get(self.address, path)

    def scrape(self) -> Samples:
        """Return the metrics now."""
        status, body = self.get("/metrics")
        assert status == 200
        return samples(body)

    def until(self, holds: Callable[[], bool]) -> None:
        """Wait for a condition, while the process lives."""
        until(
            holds,
            SECONDS,
            lives=lambda: self.process.poll() is None,
            told=lambda: self.log.read_text(encoding="utf-8"),
        )

    def until_ready(self) -> None:
        """Wait until /readyz answers 200."""
        self.until(lambda: self.get("/readyz")[0] == 200)

    def counts(self, name: str, expected: float, **labels: str) -> None:
        """Wait until a metric has this value."""
        self.until(lambda: value(self.scrape(), name, **labels) == expected)


@contextmanager
def served(vault: Vault, *args: str, program: str = "", **extra: str) -> Iterator[Served]:
    """Run `ingest --follow ARGS` with metrics on a port of the system's choice; as `python -c PROGRAM`, if given."""
    log = vault.home / "stderr"
    options = ("--follow", "--metrics-address", "127.0.0.1:0", "--output", "json", *args)
    extra = {"VAULT_ETL_FOLLOW_WAIT": "1", **extra}
    with log.open("wb") as stderr, Path(os.devnull).open("r+b") as nothing:
        streams = (nothing.fileno(), nothing.fileno(), stderr.fileno())
        if program:
            environment = {**vault.environment("ingest"), **extra}
            command = [sys.executable, "-W", "error", "-c", program, "ingest", *options]
            process = subprocess.Popen(
                command, env=environment, cwd=vault.home, stderr=stderr, text=True
            )
        else:
            process = start_with(vault, "ingest", "ingest", *options, streams=streams, extra=extra)
    with process:
        running = Served(process, log)
        try:
            running.until(lambda: any(line["event"] == "metrics" for line in running.lines()))
            (line,) = (line for line in running.lines() if line["event"] == "metrics")
            running.address = str(line["address"])
            yield running
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()


def test_an_ingest_is_seen_from_outside(vault: Vault) -> None:
    """The metrics have its counts and calls, it is ready, and no value is served."""
    with served(vault) as running:
        assert running.get("/healthz") == (200, b"ok\n")
        running.until_ready()
        vault.send([*(event(ip=CANARY) for _ in range(20)), f"no JSON, but {CANARY}"])
        running.counts("messages_deleted_total", 21)
        running.until(lambda: value(running.scrape(), "queue_messages", state="visible") == 0)
        now = running.scrape()
        assert value(now, "messages_received_total") == 21
        assert value(now, "messages_stored_total", event="user_logins") == 20
        assert value(now, "messages_quarantined_total", reason="not_json") == 1
        assert value(now, "ready") == 1
        assert value(now, "batch_messages_sum") == 21
        assert (value(now, "lease_seals_left", field="ip") or 0) > 1_000
        for service, operation in {
            "sqs": "ReceiveMessage",
            "kms": "GenerateDataKey",
            "postgres": "load",
        }.items():
            labels = {"service": service, "operation": operation}
            assert (value(now, "call_duration_seconds_count", **labels) or 0) >= 1, operation
        batches = [line for line in running.lines() if line["event"] == "batch"]
        assert sum(int(str(line["messages"])) for line in batches) == 21
        assert {line["pid"] for line in batches} == {running.process.pid}
        assert leaked([CANARY], running.get("/metrics")[1]) == set()
    assert leaked([CANARY], running.log.read_bytes()) == set()


@pytest.mark.endurance  # a worker that is killed, and its successor
def test_workers_are_seen_as_one_through_a_kill(vault: Vault) -> None:
    """After `kill -9` of a worker no count falls, another worker replaces it, and no file remains."""
    temporary = vault.home / "temporary"
    temporary.mkdir()
    with served(vault, "--workers", "2", TMPDIR=str(temporary)) as running:
        running.until_ready()
        vault.send(event() for _ in range(30))
        running.counts("messages_stored_total", 30, event="user_logins")
        (folder,) = temporary.iterdir()
        files = sorted(path.name for path in folder.iterdir())
        assert len(files) == 12
        first = psutil.Process(running.process.pid).children()[0]
        first.kill()
        running.counts("worker_ends_total", 1)
        assert value(running.scrape(), "messages_stored_total", event="user_logins") == 30
        running.counts("workers", 2)
        running.until_ready()
        vault.send(event() for _ in range(10))
        running.counts("messages_stored_total", 40, event="user_logins")
        assert sorted(path.name for path in folder.iterdir()) == files
    assert list(temporary.iterdir()) == []


def test_an_outage_shows_and_passes(vault: Vault) -> None:
    """Without Postgres and messages: not ready, by its name, healthy, the error counted; then nothing is lost."""
    upstream = urlsplit(vault.database_url("ingest"))
    assert upstream.port is not None
    with TcpProxy(upstream.port) as proxy:
        netloc = upstream.netloc.replace(f":{upstream.port}", f":{proxy.port}")
        url = upstream._replace(netloc=netloc).geturl()
        with served(vault, VAULT_ETL_DATABASE_URL=url) as running:
            running.until_ready()
            with proxy.broken(Fault.RESET):
                running.until(lambda: running.get("/readyz")[0] == 503)
                assert running.get("/readyz") == (503, b"postgres: unavailable\n")
                assert value(running.scrape(), "messages_received_total") == 0
                vault.send([event()])
                cause = {"cause": "unavailable"}
                running.until(
                    lambda: (value(running.scrape(), "batches_retried_total", **cause) or 0) >= 1
                )
                assert running.get("/healthz")[0] == 200
                now = running.scrape()
                assert value(now, "ready") == 0
                assert value(now, "held_messages") == 1
                assert [name for name, _ in now if name == "vault_etl_call_errors_total"]
            running.until_ready()
            running.counts("messages_deleted_total", 1)
        events = [line["event"] for line in running.lines() if line["event"] != "batch"]
    assert events[:4] == ["metrics", "ready", "not ready", "ready"]
    assert vault.count("user_logins") == 1


def test_a_stuck_thread_makes_an_ingest_unhealthy(vault: Vault) -> None:
    """The limit of five minutes is one second here; the ingest stays ready."""
    program = (
        "from vault_etl.cli import main; from vault_etl.ingest import steps as ingest_steps;"
        " ingest_steps.STUCK_SECONDS = 1; main.main()"
    )
    with served(vault, program=program, VAULT_ETL_FOLLOW_WAIT="6") as running:
        running.until_ready()
        running.until(lambda: running.get("/healthz")[0] == 503)
        assert running.get("/healthz")[1].startswith(b"stuck: receive-")


@pytest.mark.parametrize("workers", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_metrics_show_overdue_keys(vault: Vault, workers: tuple[str, ...]) -> None:
    """Ages are by the database's clock, beside the limits of the settings; without a data key the age is 0."""
    vault.grow_older(dt.timedelta(days=40))
    with served(vault, *workers, VAULT_ETL_TOKEN_KEY_MAX_AGE_DAYS="30") as running:
        running.until(
            lambda: (value(running.scrape(), "key_age_seconds", purpose="token") or 0) > 40 * DAY
        )
        running.until(lambda: value(running.scrape(), "key_age_seconds", purpose="data") == 0)
        now = running.scrape()
        assert value(now, "key_max_age_seconds", purpose="token") == 30 * DAY
        assert value(now, "key_max_age_seconds", purpose="data") == 90 * DAY
        running.until_ready()


def test_a_taken_address_ends_an_ingest_before_a_receive(vault: Vault) -> None:
    """Exit 78 names the setting, with one process and with workers; the queue is untouched."""
    vault.send([event()])
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        extra: dict[str, str | None] = {"VAULT_ETL_METRICS_ADDRESS": address}
        for workers in ("1", "2"):
            result = vault.run("ingest", "ingest", "--workers", workers, extra=extra)
            fails(result, 78, "VAULT_ETL_METRICS_ADDRESS", "in use")
    assert vault.depth() == (1, 0, 0)


def test_a_terminal_shows_the_progress(vault: Vault) -> None:
    """A live line has state, rate, lag and totals; after Ctrl-C only the summary stays."""
    vault.send(event() for _ in range(5))
    extra = {**TERMINAL, "VAULT_ETL_FOLLOW_WAIT": "1"}
    with terminal(vault, "ingest", "ingest", "--follow", columns=120, extra=extra) as shown:
        shown.expect("ingest: ready")
        shown.expect("stored 5")
        shown.process.send_signal(signal.SIGINT)
        shown.expect("messages per second")
        assert shown.finish().code == 130
