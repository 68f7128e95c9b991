"""The start of every command that works on a vault: settings, logs, and the shared parts."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from vault_etl.cli.replica_reads import FROM_REPLICA

if TYPE_CHECKING:
    from vault_etl import settings
    from vault_etl.app.parts import Parts

VerboseOption = Annotated[
    bool, typer.Option("--verbose", "-v", help="Write more log lines to standard error.")
]


def start(
    *, quiet: bool, verbose: bool, is_worker: bool = False
) -> tuple[Parts, settings.Settings]:
    """Read the settings, set up the logs, and return the parts. Raises ConfigurationError."""
    # These imports are most of the time that a command takes to start.
    from vault_etl import settings
    from vault_etl.app.parts import Parts
    from vault_etl.base import logs

    loaded, _ = settings.load(os.environ)
    logs.configure(loaded.log_format, verbose=verbose, quiet=quiet)
    name = _name()
    reads_replica = name.partition(" ")[2] in FROM_REPLICA
    if is_worker:
        name += f" worker {os.getpid()}"
    return Parts(loaded, name, reads_replica=reads_replica), loaded


def _name() -> str:
    """The words of the command, such as `vault-etl keys rotate`, without its arguments."""
    from typer._click.globals import get_current_context

    return get_current_context().command_path
