"""The life of a stack: started, found, broken, explained, stopped, deleted."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from tests.kit.sessions import connect
from tests.local.least_commands import least_commands
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.local.demo_scene import SHOP
from vault_etl.local.emulator import EmulatorName
from vault_etl.local.policies import ROLES
from vault_etl.local.provision import Credentials, EmulatorSession
from vault_etl.local.stack import EmbeddedStack
from vault_etl.local.state import StackStatus

pytestmark = pytest.mark.command


def test_a_stack_that_was_never_started(stack: EmbeddedStack) -> None:
    """Every command says so, and makes no file."""
    assert stack.status().state == "stopped"
    assert not stack.stop()
    assert stack.reset() == []
    with pytest.raises(ConfigurationError, match="no embedded stack runs") as caught:
        stack.environment("ingest")
    assert caught.value.hint == "vault-etl local start"
    assert not stack.directory.exists()


def test_start_and_stop(stack: EmbeddedStack) -> None:
    """A start runs both parts, a second start changes nothing, and a stop leaves no process."""
    first = stack.start()
    assert (first.state, first.problem) == ("running", None)
    processes = _processes(first)
    again = stack.start()
    assert again == first
    assert _processes(again) == processes
    assert stack.stop()
    assert not [process for process in processes if _runs(process)]
    assert stack.status().state == "stopped"
    assert not stack.stop()


def test_every_role_has_an_environment(started: EmbeddedStack) -> None:
    """Every role has a login and an access key of its own, and both work."""
    environments = [started.environment(role) for role in ROLES]
    for environment in environments:
        with closing(connect(environment["VAULT_ETL_DATABASE_URL"])):
            pass
        key = Credentials(environment["AWS_ACCESS_KEY_ID"], environment["AWS_SECRET_ACCESS_KEY"])
        EmulatorSession(environment["AWS_ENDPOINT_URL"], key).client("sts").get_caller_identity()
    for secret in ("VAULT_ETL_DATABASE_URL", "AWS_SECRET_ACCESS_KEY"):
        assert len({environment[secret] for environment in environments}) == len(ROLES)
    with pytest.raises(UsageError, match="no role root"):
        started.environment("root")


def test_a_login_has_only_its_own_role(started: EmbeddedStack) -> None:
    """The operator is a member of all groups except the owner's."""
    status = started.status()
    assert status.postgres is not None
    with (
        closing(connect(status.postgres.admin_url)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(
            "SELECT m.rolname, array_agg(g.rolname ORDER BY g.rolname) FROM pg_auth_members a"
            " JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid"
            " WHERE m.rolname LIKE 'local%' GROUP BY 1"
        )
        groups: dict[str, list[str]] = dict(cursor.fetchall())
    operator = groups.pop("local_operator")
    assert "vault_etl_owner" not in operator
    assert len(operator) == 7
    assert groups == {login: [login.replace("local", "vault_etl", 1)] for login in groups}
    assert len(groups) == 8


def test_files_are_private(started: EmbeddedStack) -> None:
    """Every file with a secret is readable by its owner only."""
    assert started.directory.stat().st_mode & 0o077 == 0
    for path in started.directory.rglob("*.json"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_killed_emulator_is_explained(stack: EmbeddedStack) -> None:
    """Without records, a start makes everything again."""
    status = stack.start()
    _kill_emulator(status)
    broken = stack.status()
    assert broken.state == "broken"
    assert "moto" in str(broken.problem)
    assert "KMS keys" in str(broken.problem)
    with pytest.raises(ConfigurationError, match="is gone"):
        stack.environment("ingest")
    again = stack.start()
    assert again.state == "running"
    assert again.postgres == status.postgres
    assert again.recorded.provisioned != status.recorded.provisioned


@pytest.mark.parametrize("table", ["user_logins", "quarantine"])
def test_records_of_lost_keys_refuse_a_start(stack: EmbeddedStack, table: str) -> None:
    """The start fails with a hint to reset."""
    status = stack.start()
    _insert(status, table)
    _kill_emulator(status)
    with pytest.raises(ConfigurationError, match=r"1 rows.*never be opened") as caught:
        stack.start()
    assert "vault-etl local reset" in str(caught.value.hint)
    assert stack.status().state == "broken"
    stack.reset()
    assert stack.start().state == "running"


def test_a_stop_loses_the_keys(stack: EmbeddedStack) -> None:
    """The start that refuses leaves no process running."""
    _insert(stack.start(), "user_logins")
    stack.stop()
    with pytest.raises(ConfigurationError, match="never be opened"):
        stack.start()
    assert stack.status().state == "stopped"


def test_a_start_restores_a_killed_postgres(stack: EmbeddedStack) -> None:
    """The stack is broken without Postgres; a start restores it, with the records and keys."""
    status = stack.start()
    _insert(status, "user_logins")
    assert status.postgres is not None
    pid = int((status.postgres.place / "data" / "postmaster.pid").read_text().split("\n")[0])
    os.kill(pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert "Postgres does not" in str(stack.status().problem)
    again = stack.start()
    assert again.state == "running"
    assert again.recorded.provisioned == status.recorded.provisioned
    assert _count(again, "user_logins") == 1


def test_the_id_of_another_process_is_not_the_emulator(stack: EmbeddedStack) -> None:
    """The emulator counts as gone, and the other process is not ended."""
    status = stack.start()
    emulator = status.emulator
    assert emulator is not None
    _kill_emulator(status)
    ours = replace(emulator.process, pid=os.getpid())
    stack._state.write(replace(status.recorded, emulator=replace(emulator, process=ours)))
    assert stack.status().state == "broken"
    stack.stop()  # would end this very test


def test_an_aborted_start_is_completed(stack: EmbeddedStack) -> None:
    """The next start completes it."""
    calls: list[str] = []

    def fail_once(arguments: object, environment: object, directory: object) -> None:
        calls.append(str(arguments))
        if len(calls) == 1:
            raise ConfigurationError("broken off")
        least_commands(arguments, environment, directory)  # type: ignore[arg-type]

    breaking = EmbeddedStack(stack.directory, durable=False, run_command=fail_once)
    with pytest.raises(ConfigurationError, match="broken off"):
        breaking.start()
    assert breaking.status().problem == "an earlier start was aborted"
    assert breaking.start().state == "running"
    assert calls == [
        *("['migrate']", "['migrate']"),
        *("['audit', 'checkpoint']", "['keys', 'init']"),
    ]


def test_two_starts_at_once(stack: EmbeddedStack) -> None:
    """One of them does the work, and the other finds it done."""
    results: list[StackStatus] = []

    def start() -> None:
        own = EmbeddedStack(stack.directory, durable=False, run_command=least_commands)
        results.append(own.start())

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2
    assert results[0] == results[1]
    assert results[0].state == "running"


def test_another_emulator_is_refused(started: EmbeddedStack) -> None:
    """A running stack does not change its emulator under its records."""
    assert started.start(EmulatorName.MOTO).state == "running"
    with pytest.raises(ConfigurationError, match="runs on moto, not on localstack"):
        started.start(EmulatorName.LOCALSTACK)


def test_another_declaration_is_refused(started: EmbeddedStack) -> None:
    """A running stack keeps its fields, and its environment overrides the declaration that a shell has."""
    with pytest.raises(ConfigurationError, match="with the declaration the default, not with /"):
        started.start(schema_file=SHOP.schema_file)
    assert started.environment("ingest")["VAULT_ETL_SCHEMA_FILE"] == ""


def test_reset_leaves_only_the_lock(stack: EmbeddedStack) -> None:
    """Reset stops everything first."""
    processes = _processes(stack.start())
    announced = stack.data_paths()
    assert stack.reset() == announced
    assert not [process for process in processes if _runs(process)]
    assert not [path for path in announced if path.exists()]
    assert [path.name for path in stack.directory.iterdir()] == ["lock"]


def test_a_folder_with_other_files_is_refused(tmp_path: Path) -> None:
    """The folder is neither used nor emptied."""
    kept = tmp_path / "moto" / "precious"
    kept.parent.mkdir()
    kept.touch()
    stack = EmbeddedStack(tmp_path)
    with pytest.raises(ConfigurationError, match="is not empty"):
        stack.start()
    assert stack.reset() == []
    assert kept.exists()


def _processes(status: StackStatus) -> list[psutil.Process]:
    assert status.postgres is not None
    assert status.emulator is not None
    pid = int((status.postgres.place / "data" / "postmaster.pid").read_text().split("\n")[0])
    return [psutil.Process(pid), psutil.Process(status.emulator.process.pid)]


def _runs(process: psutil.Process) -> bool:
    """Tell whether a process runs. A zombie has ended; its parent, another process, has not waited for it yet."""
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def _kill_emulator(status: StackStatus) -> None:
    assert status.emulator is not None
    process = psutil.Process(status.emulator.process.pid)
    process.kill()
    process.wait(10)


def _insert(status: StackStatus, table: str) -> None:
    assert status.postgres is not None
    with (
        closing(connect(status.postgres.admin_url)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"INSERT INTO vault_etl.{table} VALUES (1)")  # noqa: S608
        connection.commit()


def _count(status: StackStatus, table: str) -> int:
    assert status.postgres is not None
    with (
        closing(connect(status.postgres.admin_url)) as connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(f"SELECT FROM vault_etl.{table}")
        return cursor.rowcount
