"""A stack started by root: run by `nobody`, and closed to other users.

Collected only if the tests run as root (conftest.py).
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

import vault_etl
from vault_etl.local.postgres import RunningPostgres

pytestmark = pytest.mark.command

NOBODY = pwd.getpwnam("nobody")
ORDINARY = 54321
"""A user id of no other user; initdb needs a name for it, so `nobody` starts stacks."""


@pytest.fixture(scope="module")
def public() -> Iterator[Path]:
    """A folder that every user may pass; pytest's own folders are closed to all users but root."""
    with tempfile.TemporaryDirectory(prefix="vault-etl-test-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def python(public: Path) -> Path:
    """A Python with this project that every user can run: the present one may be in root's home."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = next(
        candidate
        for candidate in (sys._base_executable, f"/usr/bin/{version}", f"/usr/local/bin/{version}")  # type: ignore[attr-defined]
        if _works_for(NOBODY.pw_uid, candidate)
    )
    venv = public / "venv"
    subprocess.run([base, "-m", "venv", "--without-pip", str(venv)], umask=0o022, check=True)
    packages = _readable(Path(sysconfig.get_path("purelib")), public / "packages")
    ours = _readable(Path(vault_etl.__file__).parents[1], public / "ours")
    path = venv / "lib" / version / "site-packages" / "tests.pth"
    path.write_text(f"{packages}\n{ours}\n", encoding="utf-8")
    path.chmod(0o644)
    return venv / "bin" / "python"


@pytest.fixture
def users_home(public: Path) -> Iterator[Path]:
    """A home that belongs to an ordinary user."""
    home = public / "home"
    home.mkdir(mode=0o700)
    os.chown(home, NOBODY.pw_uid, NOBODY.pw_gid)
    yield home
    shutil.rmtree(home)


def test_the_server_runs_as_nobody(running: RunningPostgres) -> None:
    """The server runs as `nobody`, in a folder of its own outside any home, closed to others."""
    pid = int((running.place / "data" / "postmaster.pid").read_text().split("\n")[0])
    assert psutil.Process(pid).uids().real == NOBODY.pw_uid
    assert psutil.Process(pid).gids().real == NOBODY.pw_gid
    assert running.place.stat().st_uid == NOBODY.pw_uid
    homes = {Path(user.pw_dir) for user in pwd.getpwall()} - {Path("/")}
    assert not homes & set(running.place.parents)


def test_another_user_is_refused(running: RunningPostgres, python: Path) -> None:
    """Another user of the machine has no password, cannot read one, and is refused without a password."""
    files = [running.passwords.path, running.place / "data", running.place / "postgres.log"]
    program = f"""
import psycopg2
for path in {[str(path) for path in files]!r}:
    try:
        open(path).read()
    except PermissionError:
        print("closed")
for password in ("", "admin", "postgres"):
    try:
        psycopg2.connect(host="127.0.0.1", port={running.port}, user="admin", password=password)
    except psycopg2.OperationalError:
        print("refused")
"""
    done = _as_user(ORDINARY, Path("/"), [str(python), "-c", program])
    assert done.stdout.split() == ["closed"] * 3 + ["refused"] * 3, done.stderr


@pytest.mark.parametrize("first", ["root", "ordinary"])
def test_root_and_a_user_run_stacks_on_one_machine(
    first: str, python: Path, tmp_path: Path, users_home: Path
) -> None:
    """Each has a stack at the same time, in either order of starting."""
    homes = {"root": (0, tmp_path), "ordinary": (NOBODY.pw_uid, users_home)}
    order = [homes[first], *(home for name, home in homes.items() if name != first)]
    try:
        for user, home in order:
            started = _local(user, home, python, "start")
            assert json.loads(started.stdout)["state"] == "running"
        states = [json.loads(_local(*who, python, "status").stdout) for who in order]
        assert [state["state"] for state in states] == ["running", "running"]
        assert len({state["postgres"] for state in states}) == 2
        assert len({state["endpoint"] for state in states}) == 2
    finally:
        for user, home in order:
            _local(user, home, python, "reset", "--yes")


def test_a_stack_of_another_user_is_refused(
    python: Path, public: Path, tmp_path: Path, users_home: Path
) -> None:
    """Root is refused on a user's stack, and a user on root's."""
    theirs, roots = users_home / "stack", public / "roots"
    try:
        _local(NOBODY.pw_uid, users_home, python, "start", "--dir", str(theirs))
        for command in ("start", "stop"):
            done = _local(0, tmp_path, python, command, "--dir", str(theirs), code=78)
            assert "belongs to another user" in done.stderr
        roots.mkdir()
        (roots / "lock").touch()
        done = _local(NOBODY.pw_uid, users_home, python, "start", "--dir", str(roots), code=78)
        assert "belongs to another user" in done.stderr
    finally:
        _local(NOBODY.pw_uid, users_home, python, "reset", "--yes", "--dir", str(theirs))


def _local(
    user: int, home: Path, python: Path, *arguments: str, code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = _as_user(user, home, [str(python), "-P", "-m", "vault_etl", "local", *arguments])
    assert done.returncode == code, done.stderr
    return done


def _as_user(user: int, home: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=home,
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"},
        user=user,
        group=user,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _works_for(user: int, python: str) -> bool:
    try:
        return _as_user(user, Path("/"), [python, "-c", "import venv"]).returncode == 0
    except OSError:
        return False


def _readable(folder: Path, copy: Path) -> Path:
    """Return the folder, or a copy if an ordinary user cannot read the folder."""
    listed = _as_user(NOBODY.pw_uid, Path("/"), ["/bin/ls", str(folder)])
    if listed.returncode == 0:
        return folder
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".vault-etl")
    shutil.copytree(folder, copy, symlinks=True, ignore=ignored)
    return copy
