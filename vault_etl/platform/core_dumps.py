"""Forbid core dumps and access to memory: both would show every key and value in it."""

from __future__ import annotations

import ctypes
import resource
import sys
from typing import Final

from vault_etl.base.errors import ConfigurationError

PR_SET_DUMPABLE: Final = 4
"""prctl(2). A process that is not dumpable writes no core, also not into the pipe of a `core_pattern`, which
the limit does not stop. Other processes of its user cannot attach to it or open its memory."""


def forbid_core_dumps() -> None:
    """Forbid core dumps of this process and, on Linux, access to its memory by processes of its user.

    Child processes inherit the limit. The flag ends with the next exec, so each process sets its own.
    Root has access in any case. Raises ConfigurationError if the kernel refuses.
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux" and ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        message = "this system does not let a process close its memory to others (PR_SET_DUMPABLE)"
        raise ConfigurationError(message, hint="does a sandbox forbid prctl here?")
