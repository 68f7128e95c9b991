"""`vault-etl ARGUMENTS` with small parts, which kills itself at its Nth call of the store or the database.

Run as a program: `python dying_seal.py N PART_BYTES ARGUMENTS…`. A call counts before it is made, and after it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from vault_etl.app import lake_seal
from vault_etl.archives.sets import SetWriter
from vault_etl.cli.main import main
from vault_etl.lake.postgres import PostgresSets
from vault_etl.platform.store_folder import FolderArchive
from vault_etl.records.write_batch import BatchWriter

CALLS: list[tuple[type, str]] = [
    (BatchWriter, "write"),
    (FolderArchive, "put"),
    (FolderArchive, "delete"),
    (PostgresSets, "begin"),
    (PostgresSets, "record"),
    (SetWriter, "commit"),
]


class Fuse:
    """Counts the points, and ends the process at the last one."""

    def __init__(self, points: int) -> None:
        self.left = points

    def burn(self) -> None:
        """Count one point."""
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def arm(fuse: Fuse, owner: type, name: str) -> None:
    """Burn the fuse before and after each call of a method."""
    called = getattr(owner, name)

    def around(*args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the method
        fuse.burn()
        answer = called(*args, **options)
        fuse.burn()
        return answer

    setattr(owner, name, around)


if __name__ == "__main__":
    points, part_bytes, *arguments = sys.argv[1:]
    fuse = Fuse(int(points))
    for owner, name in CALLS:
        arm(fuse, owner, name)
    lake_seal.seal.__defaults__ = (int(part_bytes),)
    sys.argv = ["vault-etl", *arguments]
    main()
