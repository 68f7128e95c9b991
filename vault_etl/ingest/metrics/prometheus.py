"""Metrics of an ingest for Prometheus: one process, or one of several whose parent serves them.

Importing this imports prometheus_client (45 ms), so whoever does not serve metrics does not.
"""

from __future__ import annotations

import atexit
import contextlib
import datetime as dt
import os
import platform
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import prometheus_client
from prometheus_client import CollectorRegistry, values

from vault_etl import __version__
from vault_etl.crypto.fields import KeyPurpose
from vault_etl.event.events import Reason
from vault_etl.ingest.metrics.families import Families
from vault_etl.ingest.observer import BatchReport, IngestState, Movement
from vault_etl.records.messages import Outcome

MAX_CODES: Final = 100
"""Different error codes and causes that a process tells apart. AWS has about 30 for what we call."""

OTHER: Final = "other"

_CODE: Final = re.compile(r"[A-Za-z][A-Za-z.]{0,79}|[0-9A-Z]{2}|[0-9]{3}", re.ASCII)
"""AWS's codes and names of classes have letters and dots alone; an SQLSTATE class has 2 characters,
an HTTP status 3. Anything else was put there by somebody, and might be a value."""

_DIRECTORY: Final = "PROMETHEUS_MULTIPROC_DIR"
_SLOT: Final = "PROMETHEUS_MULTIPROC_SLOT"


@dataclass(frozen=True, slots=True)
class MetricsSlot:
    """Where one of several workers keeps its metrics: a folder of the parent's, and a number.

    A worker that takes the place of one that has ended takes its slot too, and counts on from
    there: so the folder holds as many files after a year of restarts as after the first start.
    Two processes that live at the same time must not have the same slot.
    """

    directory: Path
    number: int

    def as_environment(self) -> dict[str, str]:
        """What a parent adds to the environment of the worker."""
        return {_DIRECTORY: str(self.directory), _SLOT: str(self.number)}

    @staticmethod
    def from_environment() -> MetricsSlot | None:
        """The slot that the parent gave this process, or None if there is none."""
        directory, number = os.environ.get(_DIRECTORY), os.environ.get(_SLOT)
        return MetricsSlot(Path(directory), int(number)) if directory and number else None


class PrometheusMetrics:
    """`IngestObserver`, `CallObserver` and `KeyAgeObserver` that count. One a process, and for good."""

    def __init__(self, slot: MetricsSlot | None = None) -> None:
        self._registry = CollectorRegistry()
        self._codes = BoundedCodes()
        keep_values(slot)
        self._families = Families(self._registry)
        self._begin_at_zero()

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The metrics of this process in the format that the header Accept asks for, and its name."""
        return expose(self._registry, accept)

    def moved(self, movement: Movement, messages: int) -> None:
        """See `IngestObserver.moved`."""
        families = self._families
        counter = {
            Movement.RECEIVED: families.received,
            Movement.DELETED: families.deleted,
            Movement.GIVEN_BACK: families.given_back,
        }[movement]
        counter.inc(messages)

    def batch(self, report: BatchReport) -> None:
        """See `IngestObserver.batch`."""
        families = self._families
        families.stored.inc(report.outcomes.get(Outcome.STORED, 0))
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
        """See `IngestObserver.state`. Where nothing waits, nothing has an age."""
        families = self._families
        families.ready.set(state.ready)
        families.held.set(state.held)
        families.held_bytes.set(state.held_bytes)
        for field, left in state.seals_left.items():
            families.seals_left.labels(field.value).set(left)
        if state.depth is None:
            return
        # The first of these opens a file of its own. There is no folder for it once a successor of
        # the parent, which was killed, has removed it: the lifeline ends this process soon.
        with contextlib.suppress(FileNotFoundError):
            families.queue.labels("visible").set(state.depth.visible)
            families.queue.labels("in_flight").set(state.depth.in_flight)
            families.queue.labels("delayed").set(state.depth.delayed)
        if state.held == 0 and state.depth.visible == 0:
            families.newest_age.set(0)
            families.oldest_age.set(0)

    def key_limit(self, purpose: KeyPurpose, limit: dt.timedelta) -> None:
        """See `KeyAgeObserver.key_limit`."""
        self._families.key_max_age.labels(purpose.value).set(limit.total_seconds())

    def key_age(self, purpose: KeyPurpose, age: dt.timedelta | None) -> None:
        """See `KeyAgeObserver.key_age`. No key is no age: 0, since workers cannot take one back."""
        self._families.key_age.labels(purpose.value).set(age.total_seconds() if age else 0)

    def called(self, service: str, operation: str, seconds: float) -> None:
        """See `CallObserver.called`."""
        self._families.call_seconds.labels(service, operation).observe(seconds)

    def failed(self, service: str, operation: str, code: str) -> None:
        """See `CallObserver.failed`."""
        self._families.call_errors.labels(service, operation, self._codes.bound(code)).inc()

    def _begin_at_zero(self) -> None:
        """A rate needs a sample from before the first event, so what can be counted is there at once."""
        for reason in Reason:
            self._families.quarantined.labels(reason.value)
        self._families.build.labels(__version__, platform.python_version()).set(1)


def keep_values(slot: MetricsSlot | None) -> None:
    """Have prometheus_client keep the values of what is made after this in memory, or in a slot's files."""
    prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]
    if slot is None:
        values.ValueClass = values.MutexValue
    else:
        os.environ[_DIRECTORY] = str(slot.directory)
        values.ValueClass = values.MultiProcessValue(lambda: slot.number)  # type: ignore[no-untyped-call]
        atexit.register(values.ValueClass.close_all_files)


def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """What `registry` holds in the format that the header Accept asks for, and its content type."""
    encode, content_type = prometheus_client.exposition.choose_encoder(accept)
    return encode(registry), content_type


class BoundedCodes:
    """Keeps codes that are made of what codes are made of, and no more than `MAX_CODES` of them."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._lock = threading.Lock()

    def bound(self, code: str) -> str:
        """The code, or `OTHER`."""
        if not _CODE.fullmatch(code):
            return OTHER
        with self._lock:
            if len(self._known) < MAX_CODES:
                self._known.add(code)
            return code if code in self._known else OTHER
