"""`vault-etl schema infer`."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from vault_etl.base.errors import UsageError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.output import QuietOption


def infer(
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", help="Sample events: JSON or CSV; - reads them from standard input."
        ),
    ],
    *,
    event: Annotated[
        str, typer.Option(metavar="NAME", help="The name of the event: its table.")
    ] = "events",
    subject: Annotated[
        str | None,
        typer.Option(metavar="PATH", help="The path of the person's id, such as '$.user.id'."),
    ] = None,
    records: Annotated[
        int, typer.Option(min=1, max=100_000, help="Read at most this many records.")
    ] = 1_000,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Propose a declaration from sample events, as TOML. No value is printed.

    Each path gets a comment that says why it is personal or plain. Where the values do not decide, the
    comment says so, and the value is personal. FILE is read as `ingest --file` reads it, and CSV with
    any header row. The proposal passes `schema check`; read it before you use it.

    \b
    Examples:
      vault-etl schema infer samples.jsonl --event signups > vault-etl.schema.toml
      vault-etl schema infer samples.csv --subject '$.account' --records 5000
    """
    from vault_etl.declaration.json_path import JsonPath
    from vault_etl.declaration.names import NAME, NAME_WORDS, is_reserved_event
    from vault_etl.schema.proposal import propose
    from vault_etl.schema.samples import sample_events

    start(quiet=quiet, verbose=verbose)
    if not NAME.fullmatch(event) or is_reserved_event(event):
        message = "--event takes a name that no table of the vault has"
        raise UsageError(message, hint=f"a name has {NAME_WORDS}")
    try:
        path = None if subject is None else JsonPath.parse(subject)
    except ValueError:
        message = "--subject takes a path"
        raise UsageError(message, hint="such as '$.user.id'") from None
    sample = sample_events(file, records)
    sys.stdout.write(propose(sample.events, event, path))
    if sample.others and not quiet:
        what = f"{sample.others:,} of {sample.others + len(sample.events):,} records"
        sys.stderr.write(f"{what} are not JSON objects, and were left out\n")
