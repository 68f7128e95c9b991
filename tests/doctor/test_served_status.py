"""`status --metrics-address`: the sections as metrics, from a process that SIGTERM ends."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.metrics.reports import samples, value
from tests.kit.http import get
from tests.kit.processes import start_with
from tests.kit.vault import Vault
from tests.kit.waiting import until
from vault_etl.doctor.diagnose import Finding, Verdict
from vault_etl.doctor.prometheus import SILENT_AFTER, ServedStatus

pytestmark = pytest.mark.command

BEGAN = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


def read_at(address: str) -> float | None:
    """Return the time of the last read."""
    return value(samples(get(address, "/metrics")[1]), "status_read_timestamp_seconds")


@contextlib.contextmanager
def silent_session(vault: Vault) -> Iterator[None]:
    """Let the session of `status` answer nothing until the block ends."""
    ((pid,),) = vault.sql(
        "SELECT pid FROM pg_stat_activity"
        " WHERE application_name = 'vault-etl status' AND datname = current_database()"
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_section_that_could_not_be_seen_has_no_sample() -> None:
    """Verdicts and numbers are served, no text; a later read replaces all of it, and silence makes it unhealthy."""
    now = BEGAN
    served = ServedStatus("127.0.0.1:0", lambda: now)
    try:
        assert get(served.address, "/readyz") == (503, b"starting\n")
        assert samples(get(served.address, "/metrics")[1]) == {}
        bad = Finding("dead_letters", Verdict.bad("2 waiting", "a hint", waiting=2, queue="name"))
        served.show([bad, Finding("audit_log", Verdict.unknown("not visible to this role"))])
        assert get(served.address, "/readyz")[0] == 200
        found = samples(get(served.address, "/metrics")[1])
        assert value(found, "status_ok", section="dead_letters") == 0
        assert value(found, "status_value", section="dead_letters", member="waiting") == 2
        assert value(found, "status_read_timestamp_seconds") == BEGAN.timestamp()
        assert len(found) == 3

        now += SILENT_AFTER
        assert get(served.address, "/healthz")[0] == 200
        now += dt.timedelta(seconds=1)
        assert get(served.address, "/healthz") == (503, b"silent\n")
        served.show([Finding("dead_letters", Verdict.good("none", waiting=0))])
        assert get(served.address, "/healthz")[0] == 200
        found = samples(get(served.address, "/metrics")[1])
        assert value(found, "status_ok", section="dead_letters") == 1
    finally:
        served.close()


def test_the_command_serves_what_it_would_print(loaded: Vault) -> None:
    """Every section that `status` prints is there, it is read again, and SIGTERM ends it with exit code 0.

    SIGTERM does so while Postgres does not answer.
    """
    printed = {line["section"]: line["ok"] for line in loaded.run("audit", "status").lines}
    log = loaded.home / "status.log"
    arguments = ("status", "--metrics-address", "127.0.0.1:0", "--every", "1")
    with log.open("wb") as stderr, Path(os.devnull).open("r+b") as nothing:
        streams = (nothing.fileno(), nothing.fileno(), stderr.fileno())
        process = start_with(loaded, "audit", *arguments, streams=streams)
    with process:
        try:
            until(lambda: b"\n" in log.read_bytes(), lives=lambda: process.poll() is None)
            address = json.loads(log.read_text("utf-8"))["address"]
            until(lambda: get(address, "/readyz")[0] == 200)
            found = samples(get(address, "/metrics")[1])
            ok = {section: value(found, "status_ok", section=section) for section in printed}
            assert ok == {section: float(ok) for section, ok in printed.items()}
            until(lambda: read_at(address) != value(found, "status_read_timestamp_seconds"))
            with silent_session(loaded):
                until(lambda: time.time() - (read_at(address) or 0) > 3)
                process.send_signal(signal.SIGTERM)
                assert process.wait(15) == 0  # a read waits for half a minute
        finally:
            process.kill()
