"""For `ingest`, and what it is watched by."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from vault_etl.app.parts import Parts
from vault_etl.base.errors import ConfigurationError
from vault_etl.ingest.engine.engine import IngestEngine
from vault_etl.ingest.engine.limits import Limits
from vault_etl.ingest.observer import IngestObserver, WorkersObserver
from vault_etl.ingest.readiness import Readiness
from vault_etl.ingest.run import HEARTBEATS, Ingest, IngestOptions
from vault_etl.ingest.sources import open_lines
from vault_etl.ingest.sources.lines_file import LinesFile
from vault_etl.ingest.sources.open_lines import LineOpener
from vault_etl.ingest.sources.postgres import PostgresFileSources
from vault_etl.ingest.sources.sqs import SqsQueue, dead_letter_queue_url
from vault_etl.ingest.steps import Bounds, IngestSteps
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


WORKERS_STOP_SOONER_S: Final = 1.5
"""So that a parent that waits for its workers ends in time itself."""


@dataclass(frozen=True, slots=True)
class Source:
    """What one `ingest` needs."""

    file: str | None = None
    name: str | None = None
    """What the lines are known by; None: their content."""
    sent: dt.date | None = None
    """The day of lines that name none."""
    keep_going: bool = False
    """Load a file of which the first records are no objects, or that is cut off in one."""
    dead_letters: bool = False
    strict: bool = False
    """Whether unknown fields quarantine an event, whatever the settings say."""


def records_of(source: Source) -> Iterator[list[tuple[int, bytes]]]:
    """For `ingest --file --dry-run`: needs no settings, no database and no AWS."""
    return open_lines.records_of(source.file or "", keep_going=source.keep_going)


class IngestProgram(Parts):
    """For `ingest`, and what it is watched by."""

    def ingest(self, observer: IngestObserver, source: Source, bounds: Bounds) -> Ingest:
        """For `ingest`: with partitions made, keys loaded and the KMS proved.

        Raises ConfigurationError if the keys are not there or the KMS ignores contexts, and
        whatever Postgres, KMS and the source say.
        """
        settings = self._settings
        wait = settings.follow_wait if bounds.follow else settings.drain_wait
        queue = self._source(source, wait)
        writer = self.batch_writer(strict=source.strict)
        writer.prepare()  # no keys, or a KMS that cannot be trusted: better known before a receive
        visibility = queue.visibility_timeout()
        if visibility < 1:
            message = "the queue shows messages to others while they are held"
            raise ConfigurationError(message, hint="set its VisibilityTimeout: 60 s is a good one")
        if wait + RECEIVE_MARGIN_S >= visibility:  # an answer must not come when it is stale
            wait = max(0, visibility - RECEIVE_MARGIN_S - 1)
            queue = self._source(source, wait)
        receivers = 1 if source.file else settings.receivers
        limits = Limits(
            batch_size=settings.batch_size,
            linger=settings.linger,
            max_held=settings.max_held,
            max_held_bytes=settings.max_held_mib * 1024 * 1024,
            visibility=visibility,
            receivers=receivers,
            heartbeats=HEARTBEATS,
            max_messages=bounds.max_messages,
        )
        patience = FOLLOWING if bounds.follow else Patience(settings.outage_wait, denied=0)
        steps = IngestSteps(
            IngestEngine(limits), queue, queue, writer, self._clock, observer, patience, bounds
        )
        options = IngestOptions(wait=wait, receivers=receivers, stop_within=settings.stop_within)
        watch = self._key_age_watch()
        return Ingest(steps, self._clock, options, watch.look if watch else None)

    def supervisor(
        self,
        observer: WorkersObserver,
        bounds: Bounds,
        workers: int,
        arguments: Sequence[str],
        metrics: ServedMetrics | None,
    ) -> Supervisor:
        """For `ingest --workers`: the parent of processes that run `vault-etl ARGUMENTS`.

        Raises ConfigurationError for settings that every worker would miss.
        """
        self._settings.need_database_url()
        self._settings.need_queue_url()
        stop_within = max(1.0, self._settings.stop_within - WORKERS_STOP_SOONER_S)
        environment = {**os.environ, "VAULT_ETL_STOP_WITHIN": str(stop_within)}
        starter = WorkerProcesses(arguments, environment, metrics.workers if metrics else None)
        return Supervisor(starter, workers, bounds, self._clock, observer, stop_within)

    def metrics(self, address: str, ready: Readiness, workers: int) -> ServedMetrics:
        """For `ingest --metrics-address`; to be called before what it tells of is built."""
        from vault_etl.ingest.metrics.server import ServedMetrics  # noqa: PLC0415 - 45 ms

        served = ServedMetrics(address, ready.reason, ready.unhealthy, workers)
        self._calls = self._ages = served.observer
        return served

    def worker_metrics(self) -> IngestObserver | None:
        """The metrics of a worker whose parent serves them; as `metrics`."""
        from vault_etl.ingest.metrics.prometheus import MetricsSlot, PrometheusMetrics  # noqa: PLC0415

        slot = MetricsSlot.from_environment()
        if slot is None:
            return None
        try:
            self._calls = self._ages = metrics = PrometheusMetrics(slot)
        except FileNotFoundError:  # the parent was killed, and its successor has tidied up
            return None
        return metrics

    def line_opener(self) -> LineOpener:
        """For `ingest --file`: with a connection of its own, since lines are read beside the writing."""
        sources = PostgresFileSources(self._new_database())
        unwrapper = ProvenUnwrapper(self._unwrapper())
        return LineOpener(self._clock, sources, lambda: open_source_key(self._keys, unwrapper))

    def _source(self, source: Source, wait: int) -> SqsQueue | LinesFile:
        if source.file:
            return self.line_opener().open(
                source.file, source=source.name, sent=source.sent, keep_going=source.keep_going
            )
        url = self._settings.need_queue_url()
        if source.dead_letters:
            url = dead_letter_queue_url(self._aws.sqs(), url)
        return SqsQueue(self._aws.sqs(), self._aws.sqs_receiver(wait), url)

    def _key_age_watch(self) -> KeyAgeWatch | None:
        """None if nobody is told."""
        if self._ages is None:
            return None
        database = self._new_database()
        limits = self._settings.key_age_limits
        return KeyAgeWatch(SeldomAskedKeyAges(database), limits, self._clock, self._ages)
