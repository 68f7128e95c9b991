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
    *, quiet: bool, verbose: bool, is_worker: bool = False, is_traced: bool = False
) -> tuple[Parts, settings.Settings]:
    """Read the settings, set up the logs, and return the parts. Raises ConfigurationError.

    A command that `is_traced` makes spans if the environment asks for them, and sends the last ones at its end.
    """
    # These imports are most of the time that a command takes to start.
    from typer._click.globals import get_current_context

    from vault_etl import settings
    from vault_etl.app.parts import Parts
    from vault_etl.app.traces import traces_of
    from vault_etl.base import logs
    from vault_etl.platform.core_dumps import forbid_core_dumps

    forbid_core_dumps()
    loaded, _ = settings.load(os.environ)
    logs.configure(loaded.log_format, verbose=verbose, quiet=quiet)
    name = get_current_context().command_path  # such as `vault-etl keys rotate`, without arguments
    reads_replica = name.partition(" ")[2] in FROM_REPLICA
    if is_worker:
        name += f" worker {os.getpid()}"
    parts = Parts(loaded, name, reads_replica=reads_replica)
    if is_traced and (traces := traces_of(os.environ)):
        parts.traces = traces
        get_current_context().call_on_close(traces.close)
    return parts, loaded
