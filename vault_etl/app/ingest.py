"""Ingest: the run, its workers, its metrics, and lines of files."""

from __future__ import annotations

import dataclasses
import datetime as dt
import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vault_etl.app.batches import batch_writer, queue_parser
from vault_etl.app.key_ring import key_store, unwrapper
from vault_etl.app.parts import Parts
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.crypto.fields import EventName
from vault_etl.declaration.model import Declaration
from vault_etl.event.events import EventParser
from vault_etl.event.known_names import KnownNames
from vault_etl.ingest import dry_run
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.engine.limits import Limits
from vault_etl.ingest.load import LoadedLines, load
from vault_etl.ingest.observer import IngestObserver, WorkersObserver
from vault_etl.ingest.readiness import Readiness
from vault_etl.ingest.run import HEARTBEATS, Ingest, IngestOptions
from vault_etl.ingest.sources.content import LineContent
from vault_etl.ingest.sources.lines_file import LinesFile
from vault_etl.ingest.sources.open_lines import LineOpener
from vault_etl.ingest.sources.postgres import PostgresFileSources
from vault_etl.ingest.sources.sqs import SqsQueue, dead_letter_queue_url, queue_name
from vault_etl.ingest.steps import Bounds, IngestSteps
from vault_etl.ingest.traced import TracedWriter
from vault_etl.ingest.worker_processes import WorkerProcesses
from vault_etl.ingest.workers import Supervisor
from vault_etl.keys.age import KeyAgeWatch
from vault_etl.keys.init import open_source_key
from vault_etl.keys.postgres import SeldomAskedKeyAges
from vault_etl.keys.unwrap import ProvenUnwrapper
from vault_etl.platform.aws import RECEIVE_MARGIN_S
from vault_etl.platform.waiting import FOLLOWING, Patience

if TYPE_CHECKING:
    from vault_etl.ingest.metrics.server import ServedMetrics


MOST_CALLS: Final = 64
"""Receives at the same time, and deletes: more than one core fills at a delay of 20 ms."""

WORKERS_STOP_SOONER_S: Final = 1.5
"""Workers get less time than their parent, so that the parent, which waits for them, ends in time too."""


@dataclass(frozen=True, slots=True)
class Source:
    """The origin of messages, and how strictly they are read."""

    file: str | None = None
    name: str | None = None
    """The name that identifies the lines; None: their content does."""
    event: str | None = None
    """The event of all lines; None: their content says of which event each is."""
    sent: dt.date | None = None
    """The day of lines that have none."""
    keep_going: bool = False
    """Load a file even if its first records are not objects, or if it ends within a record."""
    dead_letters: bool = False
    strict: bool = False
    """Quarantine events with unknown fields, even if the settings do not."""


def events_of_file(declaration: Declaration, event: str | None) -> Declaration:
    """The declaration with the events that the records of a file may be of.

    Raises UsageError for an event that takes no messages; and, without an event, if the content of a record does not
    say of which event it is: all records would be quarantined.
    """
    taking = declaration.active_events
    if event is not None:
        named = tuple(one for one in taking if one.name == event)
        if not named:
            message = "--event is not an event that takes messages"
            raise UsageError(message, hint=f"these do: {', '.join(one.name for one in taking)}")
        return dataclasses.replace(declaration, events=named)
    for one, other in itertools.combinations(taking, 2):
        if not one.has_other_texts(other):
            message = f"the records of {one.name} and {other.name} are told apart by their queues, and a file has none"
            raise UsageError(message, hint="--event names the event of the records")
    return declaration


def file_parser(declaration: Declaration, event: str | None) -> EventParser:
    """The parser of the records of a file. Raises what `events_of_file` raises."""
    events = events_of_file(declaration, event)
    if event is None:
        return EventParser(declaration)
    return EventParser(declaration, events.events[0].queue, event=event, of_lines=True)


def records_of(source: Source, declaration: Declaration) -> Iterator[list[tuple[int, bytes]]]:
    """The numbered records of a file, in pieces. Needs no database and no AWS."""
    events = KnownNames.of(events_of_file(declaration, source.event))
    return dry_run.records_of(source.file or "", events, keep_going=source.keep_going)


def ingest(parts: Parts, observer: IngestObserver, source: Source, bounds: Bounds) -> Ingest:
    """Build `ingest`: partitions are made, keys are loaded, and the KMS is verified.

    Raises ConfigurationError if there are no keys or the KMS ignores contexts, and the errors of
    Postgres, KMS and the source.
    """
    settings = parts.settings
    wait = settings.follow_wait if bounds.follow else settings.drain_wait
    if source.file:
        parser = file_parser(parts.declaration, source.event)
    else:
        parser = queue_parser(parts, queue_name(settings.need_queue_url()))
    queue = _source(parts, source, wait)
    writer = batch_writer(parts, parser, strict=source.strict)
    writer.prepare()  # missing keys and a KMS that cannot be trusted show before the first receive
    visibility = queue.visibility_timeout()
    if visibility < 1:
        message = "the queue shows messages to others while they are held"
        raise ConfigurationError(message, hint="set its VisibilityTimeout: 60 s is a good one")
    if wait + RECEIVE_MARGIN_S >= visibility:  # no answer must begin when it is stale
        wait = max(0, visibility - RECEIVE_MARGIN_S - 1)
        queue = _source(parts, source, wait)
    receivers = 1 if source.file else settings.receivers
    limits = Limits(
        batch_size=settings.batch_size,
        linger=settings.linger,
        max_held=settings.max_held,
        max_held_bytes=settings.max_held_mib * 1024 * 1024,
        visibility=visibility,
        receivers=receivers,
        most_calls=1 if source.file else MOST_CALLS,
        heartbeats=HEARTBEATS,
        max_messages=bounds.max_messages,
    )
    patience = FOLLOWING if bounds.follow else Patience(settings.outage_wait, denied=0)
    written_by = TracedWriter(writer, parts.traces) if parts.traces else writer
    steps = IngestSteps(
        IngestEngine(limits), queue, queue, written_by, parts.clock, observer, patience, bounds
    )
    options = IngestOptions(wait=wait, receivers=receivers, stop_within=settings.stop_within)
    watch = _key_age_watch(parts)
    return Ingest(steps, parts.clock, options, watch.step if watch else None)


def supervisor(
    parts: Parts,
    observer: WorkersObserver,
    bounds: Bounds,
    workers: int,
    arguments: Sequence[str],
    metrics: ServedMetrics | None,
) -> Supervisor:
    """Build `ingest --workers`: the parent of processes that run `vault-etl ARGUMENTS`.

    Raises ConfigurationError for missing settings that every worker needs.
    """
    parts.settings.need_database_url()
    parts.settings.need_queue_url()
    stop_within = max(1.0, parts.settings.stop_within - WORKERS_STOP_SOONER_S)
    environment = {**os.environ, "VAULT_ETL_STOP_WITHIN": str(stop_within)}
    starter = WorkerProcesses(arguments, environment, metrics.workers if metrics else None)
    return Supervisor(starter, workers, bounds, parts.clock, observer, stop_within)


def metrics(parts: Parts, address: str, ready: Readiness, workers: int) -> ServedMetrics:
    """Serve metrics (`ingest --metrics-address`). Call this before the parts that it observes are built."""
    from vault_etl.ingest.metrics.server import ServedMetrics  # noqa: PLC0415 - 45 ms

    served = ServedMetrics(address, ready.reason, ready.unhealthy, workers, _events(parts))
    parts.calls = parts.key_ages = served.observer
    return served


def worker_metrics(parts: Parts) -> IngestObserver | None:
    """Metrics of a worker, which its parent serves; None if the parent serves none. Call it as early as `metrics`."""
    from vault_etl.ingest.metrics.prometheus import MetricsSlot, PrometheusMetrics  # noqa: PLC0415

    slot = MetricsSlot.from_environment()
    if slot is None:
        return None
    try:
        parts.calls = parts.key_ages = metrics = PrometheusMetrics(_events(parts), slot)
    except FileNotFoundError:  # the parent was killed, and its successor removed the file
        return None
    return metrics


def _events(parts: Parts) -> list[EventName]:
    return [event.name for event in parts.declaration.active_events]


def line_opener(parts: Parts, event: str | None = None) -> LineOpener:
    """Build the reader of `ingest --file`, with its own connection: lines are read while batches are written."""
    sources = PostgresFileSources(parts.new_database())
    proven = ProvenUnwrapper(unwrapper(parts), parts.kms_proof)
    return LineOpener(
        parts.clock,
        sources,
        lambda: open_source_key(key_store(parts), proven),
        KnownNames.of(events_of_file(parts.declaration, event)),
    )


class RowLoader:
    """Loads rows that a program makes, as lines of named sources, in the thread of the caller.

    It keeps its data keys and token keys for one lease, over many loads.
    """

    def __init__(self, parts: Parts, event: str | None, *, strict: bool) -> None:
        self._batch_size = parts.settings.batch_size
        self._writer = batch_writer(parts, file_parser(parts.declaration, event), strict=strict)
        self._opener = line_opener(parts, event)

    def load(self, content: LineContent, source: str, sent: dt.date | None) -> LoadedLines:
        """Store or quarantine each line. Raises as `ingest.load.load`, and UsageError for a name or a day."""
        return load(self._opener.open_rows(content, source, sent), self._writer, self._batch_size)


def _source(parts: Parts, source: Source, wait: int) -> SqsQueue | LinesFile:
    if source.file:
        return line_opener(parts, source.event).open(
            source.file, source=source.name, sent=source.sent, keep_going=source.keep_going
        )
    url = parts.settings.need_queue_url()
    if source.dead_letters:
        url = dead_letter_queue_url(parts.aws.sqs(), url)
    return SqsQueue.of(parts.aws, url, wait, lean=parts.settings.sqs_client == "lean")


def _key_age_watch(parts: Parts) -> KeyAgeWatch | None:
    """The watch that tells metrics the ages of keys; None without metrics."""
    if parts.key_ages is None:
        return None
    database = parts.new_database()
    limits = parts.settings.key_age_limits
    return KeyAgeWatch(SeldomAskedKeyAges(database), limits, parts.clock, parts.key_ages)
