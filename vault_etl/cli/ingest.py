"""`vault-etl ingest`."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from vault_etl import logs
from vault_etl.cli.output import OutputOption, QuietOption, print_object
from vault_etl.cli.progress import progress
from vault_etl.cli.start import VerboseOption, start
from vault_etl.errors import VaultEtlError
from vault_etl.services.ingest import IngestOptions


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ingest")(_ingest)


class StopOnSignal:
    """Set by SIGINT or SIGTERM: the batch in hand is finished first. A second signal ends at once."""

    def __init__(self) -> None:
        self.received: int | None = None
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def is_set(self) -> bool:
        """Whether to end."""
        return self.received is not None

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        sys.stderr.write("vault-etl: finishing the batch in hand; once more to end at once\n")


def _ingest(
    *,
    max_messages: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many messages.")
    ] = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Load the queue into Postgres until it is empty.

    Every message is stored, or quarantined with a reason; it is deleted from the queue only after
    the commit that did so. Safe to kill and to run again: nothing is lost, nothing stored twice.

    \b
    Examples:
      vault-etl ingest
      vault-etl ingest --max-messages 1000 --output json
    """
    program, settings = start(quiet=quiet, verbose=verbose)
    stop = StopOnSignal()
    options = IngestOptions(
        batch_size=settings.batch_size,
        linger=settings.linger,
        wait=settings.drain_wait,
        max_messages=max_messages,
    )
    with progress("ingest", total=None, quiet=quiet) as bar:
        run = program.ingest(bar, options)
        try:
            run.drain(stop)
        except VaultEtlError:
            logs.get_logger().error("ingest stopped", **run.summary.as_dict())
            raise
    print_object(run.summary.as_dict(), output)
    return 128 + signal.SIGINT if stop.received == signal.SIGINT else 0
