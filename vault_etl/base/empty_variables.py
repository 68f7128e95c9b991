"""Environment variables that are empty, or that end with a newline."""

from __future__ import annotations

from collections.abc import MutableMapping


def forget_empty(environ: MutableMapping[str, str]) -> None:
    """Unset empty variables of AWS, of libpq and of OpenTelemetry, and strip the newline at the end of the others.

    Compose files and unit files set a variable that was not given to the empty text, and the libraries
    take some of those for a value. A secret that is read from a file often ends with a newline.
    """
    for name, value in list(environ.items()):
        if not name.startswith(("AWS_", "OTEL_", "PG")):
            continue
        if not value.strip():
            del environ[name]
        elif value.endswith(("\n", "\r")):
            environ[name] = value.rstrip("\r\n")
