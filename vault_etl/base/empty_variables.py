"""Variables of the environment that are empty, and are not set, and newlines at the end of others."""

from __future__ import annotations

from collections.abc import MutableMapping


def forget_empty(environ: MutableMapping[str, str]) -> None:
    """Unset the empty variables of AWS and of libpq, which would take some of them for a value.

    Compose files and unit files set what was not given to nothing. A secret that comes from a file has a newline
    at its end, often: that is taken off.
    """
    for name, value in list(environ.items()):
        if not name.startswith(("AWS_", "PG")):
            continue
        if not value.strip():
            del environ[name]
        elif value.endswith(("\n", "\r")):
            environ[name] = value.rstrip("\r\n")
