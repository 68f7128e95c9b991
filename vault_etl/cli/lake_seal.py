"""`vault-etl lake seal`."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from vault_etl.base.errors import UsageError
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import complete_events
from vault_etl.cli.ui.options import DryRunOption
from vault_etl.cli.ui.output import OutputOption, QuietOption, print_listing, print_object
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.signals import stop_when_told
from vault_etl.crypto.record_id import FIRST_DAY
from vault_etl.platform.store import parse_location

_REASON_COLUMNS: Final = ("reason_code", "path", "count", "first")


def seal(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…",
            help="Files of JSON, CSV (also .gz, .zst) or Parquet; - is standard input.",
        ),
    ],
    *,
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="PLACE", help="The set: a folder, or s3://bucket/prefix, of its own."
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_events,
            help="The event of the records. Default: the only one.",
        ),
    ] = None,
    sent: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day (UTC) of records that name none."),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Quarantine events that have unknown fields.")
    ] = False,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going", help="Seal a file that is cut off, or does not begin with JSON objects."
        ),
    ] = False,
    dry_run: DryRunOption = False,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> None:
    """Seal the records of files into a set: Parquet parts of tokens, ciphertexts and plain columns.

    Records are read as `ingest --file` reads them, and have the same tokens. Columns of Parquet have
    the names of the declaration. A record that is not an event goes to the quarantine of the vault.
    The set has its wrapped keys and a signed manifest, and is on the record of the vault, so that
    `keys destroy` and `erase` know it.

    Safe to kill: run the same command again, and it continues after the last whole part. It refuses
    sources that differ from those of the killed run (exit 65).

    \b
    Examples:
      vault-etl lake seal logins.jsonl.zst --to /srv/lake/logins-2024
      vault-etl lake seal 2024-*.parquet --to s3://lake/logins-2024
      vault-etl lake seal logins.csv --to /srv/lake/logins --sent 2024-03-14
      vault-etl lake seal logins.csv --dry-run
    """
    from vault_etl.app import lake_seal

    if to is None and not dry_run:
        message = "--to is missing"
        raise UsageError(message, hint="--to names the set: a folder, or s3://bucket/prefix")
    if sent is not None and sent.date() < FIRST_DAY:
        message = "--sent is a day before 1970"
        raise UsageError(message)
    location = None if to is None else parse_location(to, str(Path.cwd()))
    parts, settings = start(quiet=quiet, verbose=verbose)
    wanted = lake_seal.FilesToSeal(
        sources,
        lake_seal.event_of_set(parts.declaration, event),
        sent.date() if sent else None,
        keep_going=keep_going,
        strict=strict or settings.strict,
    )
    if dry_run or location is None:
        with progress("dry run", total=None, quiet=quiet) as told:
            judged = lake_seal.judge(parts.declaration, wanted, told)
        print_listing(judged.summary(), "reasons", judged.rows(), output, columns=_REASON_COLUMNS)
        return
    with stop_when_told(), progress("seal", total=None, quiet=quiet) as told:
        made, done = lake_seal.seal(parts, wanted, location, told)
    contents = made.manifest.contents
    print_object(
        {
            "set_id": str(made.manifest.set_id),
            "event": made.manifest.event,
            "location": location,
            "rows": contents.rows,
            "parts": len(made.manifest.parts),
            "bytes": sum(part.size for part in made.manifest.parts),
            "manifest_sha256": made.sha256.hex(),
            "records": done.records,
            "sealed": done.rows,
            "quarantined": done.quarantined,
            "already_quarantined": done.already_quarantined,
            "extra_fields": done.extra_fields.total,
            "extra_field_names": done.extra_fields.most(),
        },
        output,
    )
    if done.quarantined and not quiet:
        sys.stderr.write(
            "vault-etl: records were quarantined: `vault-etl quarantine list` shows the reasons\n"
        )
