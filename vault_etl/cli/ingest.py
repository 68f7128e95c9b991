"""`vault-etl ingest`."""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
import os
from typing import Annotated, Final

import typer

from vault_etl.app import ingest
from vault_etl.app.ingest import Source, records_of
from vault_etl.app.parts import Parts
from vault_etl.base import logs
from vault_etl.base.errors import IncompleteError, OtherContentError, UsageError, VaultEtlError
from vault_etl.cli.ingest_view import IngestWarnings, ReportingObserver, ingest_view
from vault_etl.cli.start import VerboseOption, start
from vault_etl.cli.ui.fields import complete_events
from vault_etl.cli.ui.output import (
    OutputFormat,
    OutputOption,
    QuietOption,
    print_listing,
    print_object,
)
from vault_etl.cli.ui.progress import progress
from vault_etl.cli.ui.signals import Lifeline, StopOnSignal
from vault_etl.crypto.record_id import FIRST_DAY
from vault_etl.ingest.dry_run import Judgement
from vault_etl.ingest.observer import IngestObserver, WorkersObserver, all_observers, observers
from vault_etl.ingest.readiness import Readiness
from vault_etl.ingest.run import Ingest
from vault_etl.ingest.steps import Bounds
from vault_etl.ingest.worker_processes import LIFELINE_OPTION
from vault_etl.ingest.workers import Supervisor

_MAX_WORKERS: Final = 64
MADE_BETWEEN_SEARCHES: Final = 20_000
"""Objects that are made between two searches for garbage: fewer than while a command starts, to hold less memory."""

_REASON_COLUMNS: Final = ("reason_code", "path", "count", "first")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("ingest")(_ingest)


def _ingest(
    *,
    follow: Annotated[
        bool, typer.Option("--follow", help="Continue when the queue is empty, until a signal.")
    ] = False,
    file: Annotated[
        str | None,
        typer.Option(
            metavar="PATH", help="Load a file of JSON or CSV (also .gz, .zst); - is standard input."
        ),
    ] = None,
    dead_letters: Annotated[
        bool, typer.Option("--dead-letters", help="Load the dead-letter queue of the queue.")
    ] = False,
    max_messages: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many messages.")
    ] = None,
    workers: Annotated[
        int,
        typer.Option(
            min=1,
            max=_MAX_WORKERS,
            help="Number of processes, each with its own keys and connections.",
        ),
    ] = 1,
    strict: Annotated[
        bool, typer.Option("--strict", help="Quarantine events that have unknown fields.")
    ] = False,
    wait_in_flight: Annotated[
        bool,
        typer.Option(
            "--wait-in-flight", help="Do not end while other processes hold messages in flight."
        ),
    ] = False,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A name that identifies the lines instead of their content: the file may grow.",
        ),
    ] = None,
    event: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            autocompletion=complete_events,
            help="The event of all records of the file, where their content does not say it.",
        ),
    ] = None,
    sent: Annotated[
        dt.datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day (UTC) of lines that name none."),
    ] = None,
    keep_going: Annotated[
        bool,
        typer.Option(
            "--keep-going", help="Load a file that is cut off, or does not begin with JSON objects."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what is in the file, and write nothing.")
    ] = False,
    metrics_address: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Serve /metrics, /healthz and /readyz at this address."
        ),
    ] = None,
    lifeline: Annotated[int | None, typer.Option(LIFELINE_OPTION, hidden=True)] = None,
    output: OutputOption = None,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
) -> int:
    """Load the queue into Postgres until it is empty.

    Every message is stored, or quarantined with a reason; it is deleted from the queue only after
    that commit. Safe to kill and to run again: nothing is lost, nothing is stored twice. After
    SIGTERM or Ctrl-C the batch in hand is finished; a second signal ends at once.

    Fields without a column are dropped; the summary counts and names them. With `--strict` an event
    with such a field is quarantined (`unknown_field`).

    A file is JSON lines, an array or a sequence of JSON objects, pretty-printed or not, or CSV with a
    header row. Of any other file, nothing is loaded (exit 65), and the hint says how to convert it.
    --dry-run needs no database and no keys; it cannot detect duplicates, or months
    without a partition.

    \b
    Examples:
      vault-etl ingest
      vault-etl ingest --follow --workers 4 --metrics-address 127.0.0.1:9464
      vault-etl ingest --max-messages 1000 --output json
      vault-etl ingest --file logins.jsonl.zst
      vault-etl ingest --file logins.csv --dry-run
      zcat logins-*.gz | vault-etl ingest --file - --source logins-2026-05
      vault-etl ingest --dead-letters
      vault-etl ingest --strict
    """
    bounds = Bounds(follow=follow, wait_in_flight=wait_in_flight, max_messages=max_messages)
    origin = Source(
        file=file,
        name=source,
        event=event,
        sent=sent.date() if sent else None,
        keep_going=keep_going,
        dead_letters=dead_letters,
        strict=strict,
    )
    _check(origin, bounds, workers, dry_run=dry_run)
    if dry_run:
        return _dry_run(origin, output, quiet=quiet, verbose=verbose)
    parts, settings = start(
        quiet=quiet, verbose=verbose, is_worker=lifeline is not None, is_traced=workers == 1
    )
    if lifeline is not None:
        return _work(parts, origin, bounds, Lifeline(lifeline))
    stop = StopOnSignal()
    readiness = Readiness(workers, stop.is_set)
    with contextlib.ExitStack() as stack:
        metrics = None
        if address := metrics_address or settings.metrics_address:
            metrics = stack.enter_context(ingest.metrics(parts, address, readiness, workers))
            logs.get_logger().info("metrics", address=metrics.address)
        view = stack.enter_context(ingest_view(quiet=quiet))
        shown = all_observers(view, readiness, IngestWarnings())
        run: Ingest | Supervisor
        if workers > 1:
            arguments = _arguments(origin, bounds, verbose=verbose)
            run = ingest.supervisor(parts, shown, bounds, workers, arguments, metrics)
        else:
            run = _alone(parts, shown, origin, bounds, metrics.observer if metrics else None)
        try:
            summary = run.run(stop)
        except VaultEtlError as error:
            summary = run.summary()
            logs.get_logger().error("ingest stopped", **summary.as_dict())
            if isinstance(error, OtherContentError):
                known = summary.duplicates + summary.already_quarantined
                message = f"{error}: {known} lines counted as duplicates, and were not stored"
                raise OtherContentError(message, hint=error.hint) from None
            raise
    if file and not summary.received and not stop.is_set():
        logs.get_logger().warning("no records", file=file)
    print_object(summary.as_dict(), output)
    halfway = isinstance(run, Ingest) and run.has_left_some
    if file and halfway and stop.is_set() and stop.exit_code == 0:
        message = "the file is not loaded completely"
        raise IncompleteError(message, hint="run the command again: it stores nothing twice")
    return stop.exit_code


def _check(source: Source, bounds: Bounds, workers: int, *, dry_run: bool) -> None:
    """Raise UsageError for options that contradict each other."""
    file = bool(source.file)
    contradictions = {
        "--file excludes --dead-letters": file and source.dead_letters,
        "--file excludes --follow": file and bounds.follow,
        "--file excludes --workers": file and workers > 1,
        "--file excludes --wait-in-flight": file and bounds.wait_in_flight,
        "--source needs --file": not file and source.name is not None,
        "--event needs --file": not file and source.event is not None,
        "--sent is a day before 1970": source.sent is not None and source.sent < FIRST_DAY,
        "--sent needs --file": not file and source.sent is not None,
        "--keep-going needs --file": not file and source.keep_going,
        "--dry-run needs --file": not file and dry_run,
    }
    for message, holds in contradictions.items():
        if holds:
            raise UsageError(message, hint="add --help for usage")


def _dry_run(source: Source, output: OutputFormat | None, *, quiet: bool, verbose: bool) -> int:
    """Print the number of events in a file, and of the other records by reason. Raises the errors of a load."""
    parts, settings = start(quiet=quiet, verbose=verbose)
    strict = source.strict or settings.strict
    declaration = parts.declaration
    judgement = Judgement(ingest.file_parser(declaration, source.event))
    with progress("dry run", total=None, quiet=quiet) as bar:
        for piece in records_of(source, declaration):
            judgement.add(piece, source.sent, strict=strict)
            bar.advance(len(piece))
    print_listing(judgement.summary(), "reasons", judgement.rows(), output, columns=_REASON_COLUMNS)
    return 0


def _alone(
    parts: Parts,
    shown: WorkersObserver,
    source: Source,
    bounds: Bounds,
    metrics: IngestObserver | None,
) -> Ingest:
    observer = shown.worker(os.getpid())
    return _built(parts, observers(observer, metrics) if metrics else observer, source, bounds)


def _built(parts: Parts, observer: IngestObserver, source: Source, bounds: Bounds) -> Ingest:
    built = ingest.ingest(parts, observer, source, bounds)
    gc.freeze()  # what is there stays: no collection walks over it for each batch
    gc.set_threshold(MADE_BETWEEN_SEARCHES)
    return built


def _work(parts: Parts, source: Source, bounds: Bounds, lifeline: Lifeline) -> int:
    """Run as one of several workers, which report to the parent and print nothing."""
    reporting = ReportingObserver()
    metrics = ingest.worker_metrics(parts)
    observer = reporting if metrics is None else observers(reporting, metrics)
    try:
        _built(parts, observer, source, bounds).run(StopOnSignal(lifeline))
    except VaultEtlError as error:
        reporting.error(error)
        return error.exit_code
    return 0


def _arguments(source: Source, bounds: Bounds, *, verbose: bool) -> list[str]:
    """The command line of a worker."""
    flags = {
        "--follow": bounds.follow,
        "--dead-letters": source.dead_letters,
        "--strict": source.strict,
        "--wait-in-flight": bounds.wait_in_flight,
        "--verbose": verbose,
    }
    return ["ingest", *(flag for flag, given in flags.items() if given)]
