"""`vault-etl ingest --file --dry-run`: what is in a file, with nothing written and nothing asked."""

from __future__ import annotations

from vault_etl.app import Source, records_of
from vault_etl.cli.start import start
from vault_etl.cli.ui.output import OutputFormat, print_listing
from vault_etl.cli.ui.progress import progress
from vault_etl.ingest.dry_run import Judgement

_COLUMNS = ("reason_code", "path", "count", "first")


def dry_run(source: Source, output: OutputFormat | None, *, quiet: bool, verbose: bool) -> int:
    """Print how many records are events, and of the others how many have which reason. Raises as a load does."""
    _, settings = start(quiet=quiet, verbose=verbose)
    strict = source.strict or settings.strict
    judgement = Judgement()
    records = 0
    with progress("dry run", total=None, quiet=quiet) as bar:
        for piece in records_of(source):
            judgement.add(piece, source.sent, strict=strict)
            records += len(piece)
            bar.advance(len(piece))
    counts = {
        "records": records,
        "events": judgement.events,
        "quarantined": judgement.quarantined,
        "extra_fields": judgement.extra_fields.total,
        "extra_field_names": judgement.extra_fields.most(),
    }
    print_listing(counts, "reasons", judgement.rows(), output, columns=_COLUMNS)
    return 0
