"""Workers that are killed, and parents that are: which are started again, and which must not live on."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from tests.endurance.workers.processes import listening, running, stopped, workers_of
from tests.kit.events import events
from tests.kit.processes import finish, still_running
from tests.kit.proxy import silent_port
from tests.kit.tcp_proxy import Fault, TcpProxy
from tests.kit.vault import Vault
from tests.kit.waiting import until

ORPHANS_END_S = 10


def test_a_killed_worker_is_started_again(quick: Vault) -> None:
    """Another process, in the same place, and the job goes on: all is stored, and SIGTERM is exit 0."""
    with running(quick, "--follow") as parent:
        until(lambda: listening(quick, 2))
        before = workers_of(parent.pid)
        before[0].kill()
        until(lambda: len(set(workers_of(parent.pid)) - {before[0]}) == 2)
        until(
            lambda: listening(quick, 2)
        )  # by now no worker receives the messages of its poll any more
        quick.send(events(25))
        until(lambda: quick.count("user_logins") == 25)
        result = stopped(parent, signal.SIGTERM)
    assert result.code == 0, result.stderr
    assert result.json["stored"] == result.json["deleted"] == 25
    assert quick.depth() == (0, 0, 0)


@pytest.mark.parametrize("silent", ["nothing", "Postgres", "KMS"])
def test_no_worker_outlives_a_killed_parent(quick: Vault, silent: str) -> None:
    """No worker lives on that waits for messages, for an answer of Postgres, or for KMS before it has begun."""
    port = urlsplit(quick.database_url("ingest")).port or 0
    with TcpProxy(port) as postgres, silent_port() as dead_port:
        extra = {}
        if silent == "Postgres":
            address = quick.database_url("ingest").replace(f":{port}/", f":{postgres.port}/")
            extra["VAULT_ETL_DATABASE_URL"] = address
        if silent == "KMS":
            extra["AWS_ENDPOINT_URL_KMS"] = f"http://127.0.0.1:{dead_port}"
        with running(quick, "--follow", extra=extra) as parent:
            until(lambda: listening(quick, 2))
            orphans = workers_of(parent.pid)
            assert len(orphans) == 2
            with postgres.broken(Fault.BLACKHOLE):
                if silent == "Postgres":
                    quick.send(events(20))
                    until(lambda: postgres.hits[Fault.BLACKHOLE] > 0)
                parent.kill()
                left = still_running(orphans, ORPHANS_END_S)
            assert left == []


def test_an_orphan_finishes_what_it_began(quick: Vault) -> None:
    """Messages of a worker whose parent is killed are stored and deleted, or given back: none is in flight."""
    with running(quick, "--follow", extra={"VAULT_ETL_LINGER": "3"}) as parent:
        until(lambda: listening(quick, 2))
        quick.send(events(20))
        until(lambda: quick.depth()[1] == 20)
        orphans = workers_of(parent.pid)
        parent.kill()
        psutil.wait_procs(orphans, ORPHANS_END_S)
    assert quick.count("user_logins") == 20
    assert quick.depth() == (0, 0, 0)


def test_a_worker_whose_parent_is_gone_ends_in_silence(quick: Vault, tmp_path: Path) -> None:
    """A worker just started ends without a bug report, though the folder of the metrics is removed already."""
    reader, writer = os.pipe()
    os.close(writer)
    gone = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "gone"), "PROMETHEUS_MULTIPROC_SLOT": "0"}
    done = subprocess.run(
        [*quick.command("ingest", "--follow"), "--lifeline", str(reader)],
        env={**quick.environment("ingest"), **gone},
        cwd=quick.home,
        pass_fds=[reader],
        capture_output=True,
        timeout=60,
        check=False,
    )
    os.close(reader)
    assert (done.returncode, done.stderr) == (0, b"")


def test_many_killed_workers_leave_nothing(quick: Vault) -> None:
    """The parent has no more descriptors, threads or children than before its workers were killed."""
    with running(quick, "--follow") as parent:
        until(lambda: listening(quick, 2))
        watched = psutil.Process(parent.pid)
        before = watched.num_fds(), watched.num_threads(), len(watched.children())
        for _ in range(2):
            for worker in workers_of(parent.pid):
                os.kill(worker.pid, signal.SIGKILL)
            until(lambda: listening(quick, 0))
            until(lambda: listening(quick, 2))
        after = watched.num_fds(), watched.num_threads(), len(watched.children())
        assert after == before
        parent.send_signal(signal.SIGTERM)
        assert finish(parent).code == 0
