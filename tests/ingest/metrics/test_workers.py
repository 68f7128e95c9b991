"""Worker processes that keep their own numbers, and a parent that serves their sum."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.metrics.reports import Samples, samples, value
from vault_etl.base.errors import ConfigurationError
from vault_etl.ingest.metrics.prometheus import MAX_CODES, MetricsSlot
from vault_etl.ingest.metrics.workers import FILE_BYTES, WorkerMetrics

pytestmark = pytest.mark.command

REPOSITORY = Path(__file__).parents[3]
LIVES = ("receive", 3), ("batch", 60.0)


class Worker:
    """A real process with a slot."""

    def __init__(self, parent: WorkerMetrics, number: int) -> None:
        self._parent = parent
        self._number = number
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "tests.ingest.metrics.worker_process"],
            cwd=REPOSITORY,
            env={"PATH": os.defpath, **parent.started(number)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def do(self, step: str, *args: object, **kwargs: object) -> Worker:
        """Run a step."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([step, args, kwargs]) + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == "\n"
        return self

    def end(self, *, kill: bool = False) -> None:
        """End the worker, and tell the parent."""
        if kill:
            self._process.send_signal(signal.SIGKILL)
        _, errors = self._process.communicate(timeout=30)
        assert (self._process.returncode, errors) == (-signal.SIGKILL if kill else 0, "")
        self._parent.ended(self._number)


@pytest.fixture
def parent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerMetrics]:
    """A parent whose temporary files belong to the test."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = WorkerMetrics()
    yield made
    made.close()


def scrape(parent: WorkerMetrics) -> Samples:
    """Return the metrics that the parent serves."""
    return samples(parent.exposition("")[0])


def test_workers_are_summed_up(parent: WorkerMetrics) -> None:
    """Counters and held messages are summed. Of ages, readiness and seals the worst counts, of the queue the latest."""
    first, second = Worker(parent, 0), Worker(parent, 1)
    first.do("receive", 30).do("batch", 60.0).do("fail", "ThrottlingException")
    second.do("receive", 12).do("batch", 90.0).do("fail", "ThrottlingException")
    first.do("state", ready=True, held=5, visible=100, seals=1_000)
    second.do("state", ready=True, held=7, visible=90, seals=2_000)
    found = scrape(parent)
    for name, expected in {
        "messages_received_total": 42,
        "batch_duration_seconds_count": 2,
        "oldest_message_age_seconds": 90,
        "newest_message_age_seconds": 30,
        "held_messages": 12,
        "held_bytes": 12,
        "ready": 1,
        "workers": 2,
        "worker_ends_total": 0,
    }.items():
        assert value(found, name) == expected, name
    assert value(found, "queue_messages", state="visible") == 90
    assert value(found, "lease_seals_left", field="ip") == 1_000
    errors = {"service": "kms", "operation": "Decrypt", "code": "ThrottlingException"}
    assert value(found, "call_errors_total", **errors) == 2
    first.do("state", ready=False, held=5, visible=80, seals=1_000)
    found = scrape(parent)
    assert value(found, "ready") == 0
    assert value(found, "queue_messages", state="visible") == 80
    first.end()
    second.end()


def test_an_unread_queue_has_no_depth(parent: WorkerMetrics) -> None:
    """Before the first counts there is no sample, rather than a zero."""
    worker = Worker(parent, 0).do("receive", 1)
    names = {name for name, _ in scrape(parent)}
    assert not names & {"vault_etl_queue_messages", "vault_etl_lease_seals_left"}
    worker.end()


def test_a_worker_survives_the_folder_of_a_killed_parent(parent: WorkerMetrics) -> None:
    """The next parent removes the folder. The worker ends because its parent is gone, not by an error here."""
    worker = Worker(parent, 0).do("receive", 1)
    shutil.rmtree(parent.directory)
    worker.do("state", ready=True, held=1, visible=5, seals=1_000).do("batch", 60.0)
    worker.end()


def test_a_killed_worker_leaves_its_counts_and_takes_its_gauges(parent: WorkerMetrics) -> None:
    """After `kill -9` counters never fall, and no gauge of the dead worker remains."""
    first, second = Worker(parent, 0), Worker(parent, 1)
    first.do("receive", 30).do("batch", 500.0)
    first.do("state", ready=False, held=50, visible=1, seals=1)
    second.do("receive", 12).do("batch", 10.0)
    second.do("state", ready=True, held=7, visible=90, seals=2_000)
    first.end(kill=True)
    found = scrape(parent)
    assert value(found, "messages_received_total") == 42
    assert value(found, "oldest_message_age_seconds") == 10
    assert value(found, "held_messages") == 7
    assert value(found, "ready") == 1
    assert value(found, "lease_seals_left", field="ip") == 2_000
    assert (value(found, "workers"), value(found, "worker_ends_total")) == (1, 1)
    again = Worker(parent, 0).do("receive", 8)
    assert value(scrape(parent), "messages_received_total") == 50
    again.end()
    second.end()


def test_the_oldest_key_that_any_worker_saw_counts(parent: WorkerMetrics) -> None:
    """Workers read ages at different seconds; an ended worker does not count."""
    first, second = Worker(parent, 0).do("keys", 91, 90), Worker(parent, 1).do("keys", 1, 90)
    found = scrape(parent)
    assert value(found, "key_age_seconds", purpose="data") == 91 * 86_400
    assert value(found, "key_max_age_seconds", purpose="data") == 90 * 86_400
    first.end(kill=True)
    assert value(scrape(parent), "key_age_seconds", purpose="data") == 86_400
    second.end()


def test_restarts_leave_no_files_behind(parent: WorkerMetrics) -> None:
    """After the first start in a slot, no start enlarges the folder, or loses a count."""
    sizes = set()
    for start in range(1, 9):
        worker = Worker(parent, 0)
        for step in LIVES:
            worker.do(*step)
        sizes.add(_size(parent.directory))
        worker.end(kill=start % 2 == 0)
        assert value(scrape(parent), "messages_received_total") == 3 * start
    assert sizes == {(6, 6 * FILE_BYTES)}


def test_a_slot_has_room_for_all_codes_and_operations(parent: WorkerMetrics) -> None:
    """The disk that is reserved at the start is enough: no file grows."""
    worker = Worker(parent, 0)
    before = _size(parent.directory), _blocks(parent.directory)
    assert before[1] * 512 >= 6 * FILE_BYTES
    worker.do("fail_often").do("call_often").do(*LIVES[0]).do(*LIVES[1])
    assert (_size(parent.directory), _blocks(parent.directory)) == before
    codes = {labels for name, labels in scrape(parent) if name == "vault_etl_call_errors_total"}
    assert len(codes) == 4 * (MAX_CODES + 1)
    worker.end()


def test_the_folder_is_private_and_goes_in_the_end(parent: WorkerMetrics) -> None:
    """The mode is 0700; the parent's close removes the folder."""
    assert stat.S_IMODE(parent.directory.stat().st_mode) == 0o700
    parent.close()
    assert not parent.directory.exists()


def test_a_full_disk_stops_no_worker(
    parent: WorkerMetrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker without room for its files gets no slot, and the metrics of the others are served."""
    worker = Worker(parent, 0).do("receive", 3)

    def full(_path: Path, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert parent.started(1) == {}
    assert value(scrape(parent), "messages_received_total") == 3
    parent.ended(1)
    worker.end()


def test_a_read_only_machine_is_a_configuration_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a writable folder, as in a container, exit 78 names the variable to set."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nothing"))
    with pytest.raises(ConfigurationError) as error:
        WorkerMetrics()
    assert error.value.exit_code == 78
    assert "TMPDIR" in str(error.value.hint)


PARENT = """
import os, signal, sys
from vault_etl.ingest.metrics.workers import WorkerMetrics
parent = WorkerMetrics()
print(parent.directory, flush=True)
parent.started(0)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_goes_with_a_parent_that_does_not_close_it(tmp_path: Path) -> None:
    """A parent that ends by an exit or an error leaves no folder."""
    directory = _run_parent("exits", tmp_path)
    assert not directory.exists()


def test_the_folder_of_a_killed_parent_goes_with_the_next(tmp_path: Path) -> None:
    """The next parent removes it, and no folder of a living parent, or of another program."""
    left = _run_parent("killed", tmp_path)
    assert left.exists()
    other = tmp_path / "other-metrics"
    other.mkdir()
    (other / "counter_0.db").touch()
    (tmp_path / "vault-etl-metrics-link").symlink_to(other)
    with _living_parent(tmp_path) as living:
        assert not left.exists()
        _run_parent("exits", tmp_path)
        assert living.exists()
    assert (other / "counter_0.db").exists()


def test_a_process_alone_is_in_no_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that is set for other programs is not written to."""
    monkeypatch.delenv("PROMETHEUS_MULTIPROC_SLOT", raising=False)
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "/nowhere")
    assert MetricsSlot.from_environment() is None
    slot = MetricsSlot(Path("/somewhere"), 3)
    for name, text in slot.as_environment().items():
        monkeypatch.setenv(name, text)
    assert MetricsSlot.from_environment() == slot


def _run_parent(end: str, temporary: Path) -> Path:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PARENT, end],
        cwd=REPOSITORY,
        env={"PATH": os.defpath, "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == (-signal.SIGKILL if end == "killed" else 0)
    return Path(done.stdout.strip())


@contextlib.contextmanager
def _living_parent(temporary: Path) -> Iterator[Path]:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PARENT + "\nsys.stdin.read()", "lives"],
        cwd=REPOSITORY,
        env={"PATH": os.defpath, "TMPDIR": str(temporary)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield Path(process.stdout.readline().strip())
        process.communicate(timeout=30)


def _size(directory: Path) -> tuple[int, int]:
    """Return the number and the bytes of the files."""
    sizes = [path.stat().st_size for path in directory.iterdir()]
    return len(sizes), sum(sizes)


def _blocks(directory: Path) -> int:
    """Return the disk blocks of the files."""
    return sum(path.stat().st_blocks for path in directory.iterdir())
