"""Background processes: found again by their arguments, and never confused with others."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.waiting import until
from vault_etl.base.errors import ConfigurationError, UnavailableError
from vault_etl.local.emulator import wait_until_ready
from vault_etl.local.private_files import make_private_directory, read_private_json
from vault_etl.local.processes import BackgroundProcess, free_port, spawn, stop_recorded

pytestmark = pytest.mark.command

SLEEP = "import sys, time; print('up', flush=True); time.sleep(60)"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"


def test_a_background_process_has_its_own_session(tmp_path: Path) -> None:
    """A Ctrl-C at our terminal does not reach it, and it gets none of our environment."""
    process = _spawn(tmp_path, SLEEP)
    try:
        assert process.is_running()
        assert os.getsid(process.pid) == process.pid
        environment = Path(f"/proc/{process.pid}/environ")
        if environment.exists():
            assert environment.read_bytes() in {b"", b"A=b\0"}
        assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o600
    finally:
        process.stop()
    assert not process.is_running()


def test_another_process_with_the_same_id_does_not_count(tmp_path: Path) -> None:
    """The other process counts as not running, and is not ended."""
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as other:
        try:
            process = BackgroundProcess(other.pid, marker=str(tmp_path))
            assert not process.is_running()
            process.stop()
            assert other.poll() is None
        finally:
            other.kill()


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    """The kill comes after its grace."""
    process = _spawn(tmp_path, STUBBORN)
    _wait_for_output(tmp_path)
    process.stop(grace_seconds=0.2)
    assert not process.is_running()


def test_a_second_start_replaces_the_first_process(tmp_path: Path) -> None:
    """A process that an aborted start left in a folder is stopped by the next start."""
    first = _spawn(tmp_path, SLEEP)
    second = _spawn(tmp_path, SLEEP)
    assert not first.is_running()
    assert second.is_running()
    assert stop_recorded(tmp_path)
    assert not second.is_running()
    assert not stop_recorded(tmp_path)


def test_a_free_port_is_none_of_an_outgoing_connection() -> None:
    """A server that listens seconds later would find it taken."""
    assert all(20_000 <= free_port() < 32_768 for _ in range(100))


def test_an_emulator_that_ends_while_it_starts_is_unavailable(tmp_path: Path) -> None:
    """Exit 69 comes at once, and names its log."""
    process = _spawn(tmp_path, "raise SystemExit('broken')")
    with pytest.raises(UnavailableError, match="ended by itself") as caught:
        wait_until_ready(process, lambda: False, seconds=60, log=tmp_path / "log")
    assert str(tmp_path / "log") in str(caught.value.hint)


def test_an_emulator_that_is_never_ready_is_ended(tmp_path: Path) -> None:
    """It is exit 69."""
    process = _spawn(tmp_path, SLEEP)
    with pytest.raises(UnavailableError, match="not ready after"):
        wait_until_ready(process, lambda: False, seconds=0.2, log=tmp_path / "log")
    assert not process.is_running()


def test_an_interrupt_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C during the wait ends the process too."""
    process = _spawn(tmp_path, SLEEP)

    def interrupt() -> bool:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        wait_until_ready(process, interrupt, seconds=60, log=tmp_path / "log")
    assert not process.is_running()


def test_a_damaged_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A file that we did not write is exit 78, with a hint."""
    path = tmp_path / "stack.json"
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is damaged") as caught:
        read_private_json(path)
    assert "local reset" in str(caught.value.hint)


def test_a_directory_under_a_file_is_a_configuration_error(tmp_path: Path) -> None:
    """A path that cannot be a folder is exit 78."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be used"):
        make_private_directory(tmp_path / "file" / "stack")


def _spawn(directory: Path, program: str) -> BackgroundProcess:
    return spawn(
        [sys.executable, "-c", program, str(directory)],
        marker=str(directory),
        environment={"A": "b"},
        directory=directory,
        log=directory / "log",
    )


def _wait_for_output(directory: Path) -> None:
    until(lambda: (directory / "log").read_text(encoding="utf-8"))
