"""`vault-etl local …` by the real command, with the real migrations and keys."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.kit.forking import can_fork, run_forked

pytestmark = pytest.mark.command

SAMPLES = Path(__file__).parents[1] / "data" / "login-events.jsonl"

SECONDS = 120
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a running stack in `.vault-etl`."""
    folder = tmp_path_factory.mktemp("home")
    done = local(folder, "start")
    assert done.returncode == 0, done.stderr
    yield folder
    assert local(folder, "reset", "--yes").returncode == 0


def test_start_is_idempotent(home: Path) -> None:
    """Start prints the status, and a second start changes nothing."""
    shown = [local(home, command).stdout for command in ("start", "status", "start")]
    assert len(set(shown)) == 1
    status = json.loads(shown[0])
    assert (status["state"], status["problem"], status["emulator"]) == ("running", None, "moto")


def test_env_prints_shell_commands(home: Path) -> None:
    """Even into a pipe, `env` prints shell commands, and unsets variables that would override them."""
    done = local(home, "env", "--role", "ingest")
    assert done.returncode == 0
    script = f"export AWS_PROFILE=mine\n{done.stdout}\nenv -0"
    shell = subprocess.run(["/bin/sh", "-c", script], env={}, capture_output=True, check=True)
    found = dict(line.split("=", 1) for line in shell.stdout.decode().split("\0") if "=" in line)
    wanted = json.loads(local(home, "env", "--role", "ingest", "--output", "json").stdout)
    assert {name: found.get(name) for name in wanted} == wanted
    assert "AWS_PROFILE" not in found
    assert wanted["VAULT_ETL_DATABASE_URL"].startswith("postgresql://local_ingest:")


def test_operator_is_the_default(home: Path) -> None:
    """Without a role the environment is the operator's."""
    default = local(home, "env").stdout
    assert default == local(home, "env", "--role", "operator").stdout
    assert "local_operator" in default


def test_an_unknown_role_is_a_usage_error(home: Path) -> None:
    """The hint lists the existing roles."""
    done = local(home, "env", "--role", "root")
    assert done.returncode == 2
    assert "vault-etl: hint: one of: owner, ingest" in done.stderr


def test_samples_are_ingested_and_found(home: Path) -> None:
    """The samples are sent, ingested under the worker's credentials, and found under the analyst's."""
    assert json.loads(local(home, "seed", str(SAMPLES)).stdout) == {"sent": 100}
    done = run(home, "ingest", "--output", "json", environment=exported(home, "ingest"))
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["stored"], summary["quarantined"]) == (99, 1)
    found = run(home, "duplicates", "--field", "ip", environment=exported(home, "analyst"))
    assert found.returncode == 0, found.stderr
    # With records under its keys, the stack refuses to be asked for another emulator.
    assert local(home, "start", "--emulator", "localstack").returncode == 78


def test_seed_sends_made_up_events(home: Path) -> None:
    """The default is 100 made-up events; any number can be requested, 0 included."""
    assert json.loads(local(home, "seed", "--events", "3").stdout) == {"sent": 3}
    assert json.loads(local(home, "seed", "--events", "0").stdout) == {"sent": 0}
    assert json.loads(local(home, "seed").stdout) == {"sent": 100}


def test_seed_from_standard_input(home: Path) -> None:
    """A dash reads standard input; blank lines give no messages, and elements of an array do."""
    for text in ('{"a": 1}\r\n\n{"a": 2}\n', '[{"a": 1},\n {"a": 2}]'):
        assert json.loads(local(home, "seed", "-", text=text).stdout) == {"sent": 2}


def test_seed_warns_of_depth(home: Path) -> None:
    """More than 500 messages on moto: the command warns that moto slows down, and names the alternative."""
    done = local(home, "seed", "-", text="x\n" * 501)
    assert json.loads(done.stdout) == {"sent": 501}
    assert "--emulator localstack" in done.stderr
    assert "--emulator localstack" not in local(home, "seed", "-", text="x\n" * 3).stderr


@pytest.mark.parametrize(
    ("arguments", "text", "code"),
    [
        (("no-such-file",), "", 66),
        (("-", "--events", "3"), "", 2),
        (("--events", "-1"), "", 2),
        (("-",), "\udcff", 65),
    ],
)
def test_seed_mistakes(home: Path, arguments: tuple[str, ...], text: str, code: int) -> None:
    """Each mistake has its own exit code and no stack trace."""
    done = local(home, "seed", *arguments, text=text)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("vault-etl: error: ")
    assert "Traceback" not in done.stderr


def test_seed_without_a_stack(home: Path, tmp_path: Path) -> None:
    """Without a running stack, the queue and the rights of the environment are used."""
    done = run(tmp_path, "local", "seed", "--events", "2", environment=exported(home, "admin"))
    assert json.loads(done.stdout) == {"sent": 2}
    denied = run(tmp_path, "local", "seed", "--events", "2", environment=exported(home, "ingest"))
    assert denied.returncode == 77
    assert local(tmp_path, "seed").returncode == 78


def test_reset_needs_a_confirmation(home: Path) -> None:
    """Without a terminal, reset needs --yes; a dry run lists the files, and deletes nothing."""
    done = local(home, "reset")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    announced = json.loads(local(home, "reset", "--dry-run").stdout)["would_delete"]
    assert announced
    assert all(Path(path).exists() for path in announced)
    assert json.loads(local(home, "status").stdout)["state"] == "running"


def test_stop_without_a_stack(tmp_path: Path) -> None:
    """Without a running stack, stop and status succeed and say so; env is exit 78 with a hint."""
    stopped = local(tmp_path, "stop")
    assert (stopped.returncode, stopped.stderr) == (0, "vault-etl: nothing was running\n")
    assert json.loads(local(tmp_path, "status").stdout)["state"] == "stopped"
    env = local(tmp_path, "env")
    assert env.returncode == 78
    assert "vault-etl: hint: vault-etl local start" in env.stderr


def test_dir_names_another_place(home: Path, tmp_path: Path) -> None:
    """`--dir` points at a stack from anywhere."""
    here = json.loads(local(tmp_path, "status", "--dir", str(home / ".vault-etl")).stdout)
    assert here == json.loads(local(home, "status").stdout)


def local(home: Path, *arguments: str, text: str = "") -> Done:
    """Run `vault-etl local ARGUMENTS` in `home`."""
    return run(home, "local", *arguments, text=text)


def run(
    home: Path, *arguments: str, text: str = "", environment: Mapping[str, str] | None = None
) -> Done:
    """Run `vault-etl ARGUMENTS` in `home`, with no variable except those in `environment`."""
    variables = {"PATH": os.defpath, "HOME": str(home), **(environment or {})}
    if can_fork(arguments, variables):
        return run_forked(arguments, variables, home, stdin=text, seconds=SECONDS)
    return subprocess.run(
        [sys.executable, "-P", "-m", "vault_etl", *arguments],
        cwd=home,
        env=variables,
        input=text,
        errors="surrogateescape",
        text=True,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )


def exported(home: Path, role: str) -> dict[str, str]:
    """Return the variables that `local env` exports."""
    lines = local(home, "env", "--role", role).stdout.splitlines()
    words = [shlex.split(line) for line in lines if line.startswith("export ")]
    return dict(word.split("=", 1) for _, word in words)
