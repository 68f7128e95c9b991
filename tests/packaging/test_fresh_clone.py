"""A fresh clone needs Python and make alone: no settings, no root, and nothing beside the clone."""

import os
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MADE_HERE = shutil.ignore_patterns(
    ".git", ".venv", ".localstack", ".vault-etl", "build", "dist", "__pycache__", ".*_cache"
)
NOBODY = 65534
# Whoever runs the tests, and an ordinary user too where we may become one.
USERS = [os.geteuid(), NOBODY] if os.geteuid() == 0 else [os.geteuid()]

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]


@pytest.fixture(params=USERS, ids="uid={}".format)
def clone(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A copy of the working tree without what make made, owned by one of `USERS`.

    The clone is in a folder of its own, since pytest's temporary folders are closed to other users.
    """
    top = Path(tempfile.mkdtemp(prefix="vault-etl-clone-"))
    shutil.copytree(REPOSITORY, top / "clone", ignore=MADE_HERE)
    (top / "home").mkdir()
    if os.geteuid() == 0:
        for path in [top, *top.rglob("*")]:
            os.chown(path, request.param, request.param, follow_symlinks=False)
    yield top / "clone"
    shutil.rmtree(top)


def test_demo_from_a_fresh_clone(clone: Path) -> None:
    """`make demo` works twice, the second time in seconds, then the demo of the shop; folders above are left alone."""
    before = _modes_above(clone)

    first = _make(clone, "demo")
    assert first.returncode == 0, first.stdout
    assert "Traceback" not in first.stdout
    started = time.monotonic()
    second = _make(clone, "demo")
    assert second.returncode == 0, second.stdout
    assert time.monotonic() - started < 60  # the demo itself takes about 15 s on an idle machine
    assert "Installing" not in second.stdout
    assert "starting PostgreSQL" in second.stdout
    assert second.stdout.splitlines()[-1] == "vault-etl local stop"  # the end can be pasted

    shop = _as_owner(clone, ".venv/bin/vault-etl", "demo", "--shop")
    assert shop.returncode == 0, shop.stdout
    assert "duplicates --field email" in shop.stdout

    assert _modes_above(clone) == before
    assert {path.name for path in clone.parent.iterdir()} == {"clone", "home"}
    assert {path.name for path in (clone.parent / "home").iterdir()} <= {".cache"}


def _make(clone: Path, target: str) -> subprocess.CompletedProcess[str]:
    """`make target`, as the clone's owner."""
    return _as_owner(clone, "make", target)


def _as_owner(clone: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """A command in an empty environment, as the clone's owner."""
    owner = clone.stat().st_uid
    become = []
    if owner != os.geteuid():
        become = ["setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups"]
    return subprocess.run(
        [*become, *command],
        cwd=clone,
        env={"HOME": str(clone.parent / "home"), "PATH": "/usr/bin:/bin"},
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _modes_above(clone: Path) -> list[tuple[int, int]]:
    """Mode and owner of each folder from the clone up to the root."""
    return [(stat.S_IMODE(info.st_mode), info.st_uid) for info in map(Path.stat, clone.parents)]
