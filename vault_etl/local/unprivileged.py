"""As root, PostgreSQL must run as somebody else: as `nobody`, who owns what it is given here."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Sequence
from pathlib import Path

_USER = "nobody"  # initdb refuses a user id that has no entry in the list of users


def is_root() -> bool:
    """Whether this process runs as root."""
    return os.geteuid() == 0


def give_away(*paths: Path) -> None:
    """As root, make `nobody` the owner of each path, links not followed. Otherwise do nothing."""
    if is_root():
        user = pwd.getpwnam(_USER)
        for path in paths:
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)


def run_unprivileged(command: Sequence[str], *, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, as `nobody` if this is root, in a next to empty environment."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C", "TZ": "UTC"}
    user = pwd.getpwnam(_USER) if is_root() else None
    return subprocess.run(
        command,
        cwd="/",  # where the caller stands may be closed to the other user
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )
