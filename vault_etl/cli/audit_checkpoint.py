"""`vault-etl audit checkpoint`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vault_etl.cli.output import OutputOption, QuietOption, print_object, wants_json
from vault_etl.cli.start import VerboseOption, start


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("checkpoint")(_checkpoint)


def _checkpoint(
    *,
    new_key: Annotated[
        bool, typer.Option("--new-key", help="The audit key was replaced: register the new one.")
    ] = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Sign the newest entry, and print the signed note that `verify --checkpoint` takes.

    The first run registers the key that signs: reveals need it. Run it on a timer, and keep what
    it prints where the database's owner cannot change it.

    \b
    Examples:
      vault-etl audit checkpoint
      vault-etl audit checkpoint --quiet --output table > /mnt/worm/checkpoint.txt
    """
    program, _ = start(quiet=quiet, verbose=verbose)
    checkpoint = program.checkpoints()(new_key=new_key)
    if not wants_json(output):
        sys.stdout.write(checkpoint.note)
        return
    print_object(
        {
            "seq": checkpoint.head.seq,
            "hash": checkpoint.head.hash.hex(),
            "checkpoint": checkpoint.note,
        },
        output,
    )
