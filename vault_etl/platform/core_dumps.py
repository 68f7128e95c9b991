"""No core dumps, and no look into memory: both would show every key and value that is in it."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

from vault_etl.base.errors import ConfigurationError

PR_SET_DUMPABLE: Final = 4
"""prctl(2). A process that is not dumpable leaves no core, not even into the pipe of a `core_pattern`,
which the limit does not stop; and other processes of its user cannot attach to it, nor open its memory."""


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process and, on Linux, looks into its memory by its own user.

    The limit is inherited by what this process starts. The flag is gone with the next exec, so each
    process sets its own. Root can look all the same. Raises ConfigurationError if the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        message = "this system does not let a process close its memory to others (PR_SET_DUMPABLE)"
        raise ConfigurationError(message, hint="does a sandbox forbid prctl here?")
