"""A model of what so many workers need, from the costs of one event that were measured.

Each worker has a core of its own, and so has nothing else. Postgres is on a machine of its own. `prices.py` has the
prices and quotas.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import ingest, prices
from benchmarks.programs import TWO, VAULT
from vault_etl.crypto.limits import MAX_LEASE

SECONDS_A_MONTH: Final = 30 * 24 * 3600
LOOK_UPS_OF_A_START: Final = 2
"""Of the calls of KMS: `DescribeKey` of the key that wraps data keys, and of the one that wraps token keys."""


@dataclass(frozen=True, slots=True)
class EventCosts:
    """The costs of one event in one process, as measured; microseconds, bytes and calls."""

    client_us: float
    client_tls_us: float
    server_us: float
    queue_us: float
    wal_bytes: float
    sqs_calls: float
    in_flight: float
    sessions: float
    kms_calls: float
    """The last three are of one run of a worker; `in_flight` is the most messages."""

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> EventCosts:
        """Read the costs from the rows of `latest.json`. Raises KeyError if one was not measured."""
        found = measured(rows, "ingest/0 ms", VAULT.name)
        tls = measured(rows, "ingest/0 ms, TLS", VAULT.name)
        return cls(
            client_us=found[ingest.CPU],
            client_tls_us=tls[ingest.CPU],
            server_us=found[ingest.SERVER_CPU],
            queue_us=found[ingest.QUEUE_CPU],
            wal_bytes=found[ingest.WAL],
            sqs_calls=found[ingest.CALLS],
            in_flight=found[ingest.IN_FLIGHT],
            sessions=found[ingest.SESSIONS],
            kms_calls=found[ingest.KMS_CALLS],
        )


@dataclass(frozen=True, slots=True)
class Need:
    """The needs of so many busy workers."""

    workers: int
    events_a_second: float
    sqs_calls_a_second: float
    sqs_dollars_a_month: float
    in_flight: float
    kms_calls_a_day: float
    kms_dollars_a_month: float
    connections: float
    postgres_cores: float
    wal_bytes_a_second: float


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, and the number of workers that reach it."""

    name: str
    workers: float
    what_helps: str


@dataclass(frozen=True, slots=True)
class Check:
    """A value that the model expects of a measured run, and the one that was measured."""

    name: str
    expected: float
    measured: float


def need(costs: EventCosts, workers: int) -> Need:
    """Return the needs of workers that are busy day and night, over TLS."""
    events = workers * 1e6 / costs.client_tls_us
    calls = events * costs.sqs_calls
    kms_calls = workers * costs.kms_calls * 24 * 3600 / MAX_LEASE.total_seconds()
    return Need(
        workers=workers,
        events_a_second=events,
        sqs_calls_a_second=calls,
        sqs_dollars_a_month=prices.sqs_dollars(calls * SECONDS_A_MONTH),
        in_flight=workers * costs.in_flight,
        kms_calls_a_day=kms_calls,
        kms_dollars_a_month=kms_calls * 30 / 1e6 * prices.KMS_CALLS.value,
        connections=workers * costs.sessions,
        postgres_cores=events * costs.server_us / 1e6,
        wal_bytes_a_second=events * costs.wal_bytes,
    )


def limits(costs: EventCosts) -> Sequence[Limit]:
    """Return the limits, the nearest first."""
    one = need(costs, 1)
    look_ups = prices.KMS_LOOK_UPS.value / LOOK_UPS_OF_A_START
    crypto = prices.KMS_CRYPTO.value / (costs.kms_calls - LOOK_UPS_OF_A_START)
    found = [
        Limit(
            f"{prices.CORES.value:.0f} cores of Postgres",
            prices.CORES.value / one.postgres_cores,
            "more cores, or a vault for each part of the users",
        ),
        Limit(
            f"WAL of {prices.WAL.value:.0f} MB/s",
            prices.WAL.value * 1e6 / one.wal_bytes_a_second,
            "a faster disk, and a faster link to replicas",
        ),
        Limit(
            f"{prices.CONNECTIONS.value:.0f} connections",
            prices.CONNECTIONS.value / one.connections,
            "`max_connections`, or a pooler",
        ),
        Limit(
            f"{prices.IN_FLIGHT.value:,.0f} messages in flight",
            prices.IN_FLIGHT.value / one.in_flight,
            "a smaller `VAULT_ETL_MAX_HELD`, or a second queue",
        ),
        Limit(
            "quotas of KMS, if all workers start in one second",
            min(look_ups, crypto),
            "workers that start one after the other",
        ),
    ]
    return sorted(found, key=lambda limit: limit.workers)


def checks(rows: Sequence[Mapping[str, Any]], processors: int, events: int) -> Iterator[Check]:
    """Compare the model with the runs of one and of two processes, which shared their machine with all else.

    A process is bound by its one core, and all of them by the processors, of which an event takes the client's, the
    server's and the queue's time. What two processes need follows from what one needed; a run has so many `events`.
    """
    costs = EventCosts.of(rows)
    all_us = costs.client_us + costs.server_us + costs.queue_us
    one, two = (measured(rows, "ingest/0 ms", program.name) for program in (VAULT, TWO))
    for name, processes, found in (("one process", 1, one), ("two processes", 2, two)):
        expected = min(processes * 1e6 / costs.client_us, processors * 1e6 / all_us)
        yield Check(f"{name}: {ingest.RATE}", expected, found[ingest.RATE])
    needs = {
        ingest.CPU: costs.client_us,
        ingest.SERVER_CPU: costs.server_us,
        ingest.WAL: costs.wal_bytes,
        ingest.CALLS: costs.sqs_calls,
        ingest.IN_FLIGHT: min(2 * costs.in_flight, events),
        ingest.SESSIONS: 2 * costs.sessions,
        ingest.KMS_CALLS: 2 * costs.kms_calls,
    }
    for metric, expected in needs.items():
        yield Check(f"two processes: {metric}", expected, two[metric])


def measured(rows: Sequence[Mapping[str, Any]], bench: str, name: str) -> Mapping[str, float]:
    """Return the values of a program in a setting, by metric."""
    own = [row for row in rows if row["bench"] == bench]
    as_peer = {row["metric"]: row["peer_value"] for row in own if row["peer"] == name}
    return as_peer | {row["metric"]: row["value"] for row in own if row["subject"] == name}
