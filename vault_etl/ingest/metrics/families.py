"""Every metric: its name, type, labels and help. docs/metrics.md says the same, and a test compares.

Labels take values from the code, but for error codes: those are bounded in `prometheus.py`.
With worker processes `multiprocess_mode` says how the workers' gauges become one; a live mode
forgets a worker that has ended.
"""

from __future__ import annotations

from typing import Final, Literal

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
    """The metrics of one process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, namespace=PREFIX, registry=registry)

        self.received = counter("messages_received", "Messages received from the queue.")
        self.stored = counter("messages_stored", "Messages stored as records.")
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
