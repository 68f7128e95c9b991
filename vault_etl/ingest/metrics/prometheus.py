"""Metrics of one process: a single ingest, or one of several workers whose parent serves them.

`Families` defines every metric: its name, type, labels and help. docs/metrics.md says the same, and
a test compares. Label values come from the code and the declaration, except for error codes: `BoundedCodes`
bounds those. With workers, `multiprocess_mode` says how the workers' gauges become one; a live mode forgets
a worker that has ended. This module imports prometheus_client (45 ms): import it only to serve.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import os
import platform
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from typing_extensions import override

from vault_etl import __version__
from vault_etl.crypto.fields import EventName, KeyPurpose
from vault_etl.event.rejection import Reason
from vault_etl.ingest.observer import BatchReport, IngestObserver, IngestState, Movement
from vault_etl.keys.age import KeyAgeObserver
from vault_etl.platform.calls import CallObserver
from vault_etl.records.messages import Outcome

MAX_CODES: Final = 100
"""Number of error codes and causes that a process distinguishes. AWS has about 30 for our calls."""

OTHER: Final = "other"

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z.]{0,79}|[0-9A-Z]{2}|[0-9]{3}", re.ASCII)
"""AWS's codes and class names have only letters and dots; an SQLSTATE class has 2 characters, an
HTTP status 3. Any other text might contain a value."""

_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
_SLOT: Final = "PROMETHEUS_MULTIPROC_SLOT"


@dataclass(frozen=True, slots=True)
class MetricsSlot:
    """The place of one worker's metrics: a folder of the parent, and a number.

    A worker that replaces an ended one takes over its slot and continues its counts: so the folder
    holds as many files after a year of restarts as after the first start. Two processes that live at
    the same time must not share a slot.
    """

    directory: Path
    number: int

    def as_environment(self) -> dict[str, str]:
        """Return the variables that the parent adds to the worker's environment."""
        return {_DIRECTORY: str(self.directory), _SLOT: str(self.number)}

    @staticmethod
    def from_environment() -> MetricsSlot | None:
        """Return the slot that the parent gave this process, or None."""
        directory, number = os.environ.get(_DIRECTORY), os.environ.get(_SLOT)
        return MetricsSlot(Path(directory), int(number)) if directory and number else None


class PrometheusMetrics(IngestObserver, CallObserver, KeyAgeObserver):
    """Counts the reports of an ingest of these events, of its calls and of its key ages. Made once in a process."""

    def __init__(self, events: Iterable[EventName], slot: MetricsSlot | None = None) -> None:
        self._registry = CollectorRegistry()
        self._codes = BoundedCodes()
        keep_values(slot)
        self._families = Families(self._registry)
        self._begin_at_zero(events)

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the format that the header Accept asks for, and its content type."""
        return expose(self._registry, accept)

    @override
    def moved(self, movement: Movement, messages: int) -> None:
        families = self._families
        counter = {
            Movement.RECEIVED: families.received,
            Movement.DELETED: families.deleted,
            Movement.GIVEN_BACK: families.given_back,
        }[movement]
        counter.inc(messages)

    @override
    def batch(self, report: BatchReport) -> None:
        families = self._families
        for event, messages in report.stored.items():
            families.stored.labels(event).inc(messages)
        families.duplicates.inc(report.outcomes.get(Outcome.DUPLICATE, 0))
        families.already_quarantined.inc(report.outcomes.get(Outcome.ALREADY_QUARANTINED, 0))
        families.retried.inc(report.outcomes.get(Outcome.RETRY, 0))
        for reason, messages in report.reasons.items():
            families.quarantined.labels(reason.value).inc(messages)
        families.extra_fields.inc(sum(report.extra_fields.values()))
        if report.cause is not None:
            families.batches_retried.labels(self._codes.bound(report.cause)).inc()
        families.batch_seconds.observe(report.seconds)
        families.batch_messages.observe(report.messages)
        families.batch_bytes.observe(report.bytes)
        families.newest_age.set(report.newest_age)
        families.oldest_age.set(report.oldest_age)
        families.receive_count.set(report.max_receive_count)

    def state(self, state: IngestState) -> None:
        """Record the present state. Without waiting messages, the message ages are 0."""
        families = self._families
        families.ready.set(state.ready)
        families.held.set(state.held)
        families.held_bytes.set(state.held_bytes)
        families.receivers.set(state.receivers)
        families.deleters.set(state.deleters)
        families.held_back.set(state.held_back)
        for field, left in state.seals_left.items():
            families.seals_left.labels(field).set(left)
        if state.depth is None:
            return
        # The first label opens a file of its own. Its folder may be gone if the parent was killed and
        # its successor has removed the folder: the lifeline then ends this process soon.
        with contextlib.suppress(FileNotFoundError):
            families.queue.labels("visible").set(state.depth.visible)
            families.queue.labels("in_flight").set(state.depth.in_flight)
            families.queue.labels("delayed").set(state.depth.delayed)
        if state.held == 0 and state.depth.visible == 0:
            families.newest_age.set(0)
            families.oldest_age.set(0)

    @override
    def key_limit(self, purpose: KeyPurpose, limit: dt.timedelta) -> None:
        self._families.key_max_age.labels(purpose.value).set(limit.total_seconds())

    def key_age(self, purpose: KeyPurpose, age: dt.timedelta | None) -> None:
        """Record the age of a key. Without a key the age is 0, since workers cannot remove a gauge."""
        self._families.key_age.labels(purpose.value).set(age.total_seconds() if age else 0)

    @override
    def called(self, service: str, operation: str, seconds: float) -> None:
        self._families.call_seconds.labels(service, operation).observe(seconds)

    @override
    def failed(self, service: str, operation: str, code: str) -> None:
        self._families.call_errors.labels(service, operation, self._codes.bound(code)).inc()

    def _begin_at_zero(self, events: Iterable[EventName]) -> None:
        """Expose known labels at 0: a rate needs a sample from before the first event."""
        for event in events:
            self._families.stored.labels(event)
        for reason in Reason:
            self._families.quarantined.labels(reason.value)
        self._families.build.labels(__version__, platform.python_version()).set(1)


def keep_values(slot: MetricsSlot | None) -> None:
    """Make prometheus_client keep the values of later metrics in memory, or in the files of a slot."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    if slot is None:
        values.ValueClass = values.MutexValue
    else:
        os.environ[_DIRECTORY] = str(slot.directory)
        values.ValueClass = values.MultiProcessValue(lambda: slot.number)  # type: ignore[no-untyped-call]
        atexit.register(values.ValueClass.close_all_files)


def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the metrics of `registry` in the format that Accept asks for, and its content type."""
    encode, content_type = prometheus_client.exposition.choose_encoder(accept)
    return encode(registry), content_type


class BoundedCodes:
    """Passes on well-formed codes, at most `MAX_CODES` different ones."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def bound(self, code: str) -> str:
        """Return the code, or `OTHER`."""
        if not _CODE.fullmatch(code):
            return OTHER
        with self._lock:
            if len(self._known) < MAX_CODES:
                self._known.add(code)
            return code if code in self._known else OTHER


Mode = Literal["livemin", "livemax", "livesum", "livemostrecent"]

PREFIX: Final = "vault_etl"

_KIB: Final = 1024
_BATCH_SECONDS: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BATCH_MESSAGES: Final = (1, 10, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000)
_BATCH_BYTES: Final = tuple(_KIB * 4**power for power in range(9))
"""1 KiB to 64 MiB."""

_CALL_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)
"""The longest poll of SQS is 20 s."""


class Families:
    """All metrics of one process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, namespace=PREFIX, registry=registry)

        self.received = counter("messages_received", "Messages received from the queue.")
        self.stored = counter("messages_stored", "Messages stored as records.", "event")
        self.duplicates = counter("messages_duplicate", "Messages that were stored before.")
        self.quarantined = counter(
            "messages_quarantined", "Messages put into quarantine.", "reason"
        )
        self.already_quarantined = counter(
            "messages_already_quarantined", "Messages that were put into quarantine before."
        )
        self.retried = counter("messages_retried", "Times that a message was not committed yet.")
        self.deleted = counter("messages_deleted", "Messages deleted from the queue.")
        self.given_back = counter("messages_given_back", "Messages given back to the queue.")
        self.extra_fields = counter("extra_fields", "Unknown fields dropped from messages.")
        self.batches_retried = counter(
            "batches_retried", "Batches that were not committed, wholly or in part.", "cause"
        )

        def gauge(name: str, text: str, *labels: str, mode: Mode) -> Gauge:
            return Gauge(
                name, text, labels, namespace=PREFIX, registry=registry, multiprocess_mode=mode
            )

        self.newest_age = gauge(
            "newest_message_age_seconds", "Age of the last batch's newest message.", mode="livemin"
        )
        self.oldest_age = gauge(
            "oldest_message_age_seconds", "Age of the last batch's oldest message.", mode="livemax"
        )
        self.receive_count = gauge(
            "receive_count_max", "Highest receive count in the last batch.", mode="livemax"
        )
        self.held = gauge("held_messages", "Messages received, not settled yet.", mode="livesum")
        self.held_bytes = gauge("held_bytes", "Bytes of bodies held in memory.", mode="livesum")
        self.receivers = gauge("receivers", "Receives at the same time, at most.", mode="livesum")
        self.deleters = gauge("deleters", "Deletes at the same time, at most.", mode="livesum")
        self.held_back = gauge(
            "crews_held_back", "Crews that more threads would not help.", mode="livesum"
        )
        self.queue = gauge(
            "queue_messages", "Messages in the queue, by its word.", "state", mode="livemostrecent"
        )
        self.seals_left = gauge(
            "lease_seals_left", "Seals left under the data key in use.", "field", mode="livemin"
        )
        self.key_age = gauge(
            "key_age_seconds", "Age of the oldest active key.", "purpose", mode="livemax"
        )
        self.key_max_age = gauge(
            "key_max_age_seconds",
            "How old a key may become; 0: any age.",
            "purpose",
            mode="livemax",
        )
        self.ready = gauge("ready", "1 while all that is needed is there.", mode="livemin")
        self.build = gauge(
            "build_info", "1, with the versions.", "version", "python", mode="livemax"
        )

        def histogram(name: str, text: str, *labels: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(
                name, text, labels, namespace=PREFIX, registry=registry, buckets=buckets
            )

        self.batch_seconds = histogram(
            "batch_duration_seconds", "Time to write a batch.", buckets=_BATCH_SECONDS
        )
        self.batch_messages = histogram(
            "batch_messages", "Messages in a batch.", buckets=_BATCH_MESSAGES
        )
        self.batch_bytes = histogram(
            "batch_bytes", "Bytes of bodies in a batch.", buckets=_BATCH_BYTES
        )
        self.call_seconds = histogram(
            "call_duration_seconds",
            "Time of a call to AWS or Postgres, retries included.",
            "service",
            "operation",
            buckets=_CALL_SECONDS,
        )
        self.call_errors = counter(
            "call_errors", "Tries of a call that failed.", "service", "operation", "code"
        )
