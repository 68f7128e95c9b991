"""What every command that works on a vault begins with."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from vault_etl import settings
    from vault_etl.bootstrap import Program

VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Log more, to standard error.")
]


def start(*, quiet: bool, verbose: bool) -> tuple[Program, settings.Settings]:
    """Read the settings, set up the logs. Raises ConfigurationError."""
    # Here and not above: most of a command's start is these imports, and its help needs none.
    from vault_etl import logs, settings  # noqa: PLC0415
    from vault_etl.bootstrap import Program  # noqa: PLC0415

    loaded, _ = settings.load(os.environ)
    logs.configure(loaded.log_format, verbose=verbose, quiet=quiet)
    return Program(loaded), loaded
