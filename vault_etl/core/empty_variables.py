"""Empty variables of the environment, which are not set."""

from __future__ import annotations

from collections.abc import MutableMapping


def forget_empty(environ: MutableMapping[str, str]) -> None:
    """Unset the empty variables of AWS and of libpq, which would take some of them for a value.

    Compose files and unit files set what was not given to nothing.
    """
    for name in [name for name, value in environ.items() if not value.strip()]:
        if name.startswith(("AWS_", "PG")):
            del environ[name]
