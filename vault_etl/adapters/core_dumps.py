"""No core dumps: one would hold every key and value in memory."""

from __future__ import annotations

import resource


def forbid_core_dumps() -> None:
    """Set the limit of this process, and of those that it starts, to nothing."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
