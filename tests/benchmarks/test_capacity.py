"""The model of capacity, and its page."""

from __future__ import annotations

import math

from benchmarks.capacity import Check, EventCosts, checks, limits, measured, need
from benchmarks.prices import FIGURES, sqs_dollars
from docs.generate_capacity import PAGE, written

COSTS = EventCosts(
    client_us=50,
    client_tls_us=100,
    server_us=40,
    queue_us=10,
    wal_bytes=1_000,
    sqs_calls=0.2,
    in_flight=3_000,
    sessions=2,
    kms_calls=10,
)
METRICS = {
    "client CPU µs an event": 50.0,
    "Postgres CPU µs an event": 40.0,
    "queue CPU µs an event": 10.0,
    "WAL bytes an event": 1_000.0,
    "SQS calls an event": 0.2,
    "most messages in flight": 3_000.0,
    "sessions of Postgres": 2.0,
    "KMS calls of a run": 10.0,
    "events/s": 15_000.0,
}


def rows(bench: str, scale: float) -> list[dict[str, object]]:
    """The rows of a bench in which two processes have `scale` times the values of one."""
    names = {"bench": bench, "subject": "vault-etl, two processes", "peer": "vault-etl"}
    return [
        {**names, "metric": metric, "value": scale * value, "peer_value": value, "ratio": scale}
        for metric, value in METRICS.items()
    ]


def test_needs_grow_with_the_workers() -> None:
    """Ten workers need ten times as much of everything, and a worker is bound by its core."""
    one, ten = need(COSTS, 1), need(COSTS, 10)
    assert one.events_a_second == 10_000
    assert one.postgres_cores == 0.4
    assert one.sqs_calls_a_second == 2_000
    assert math.isclose(one.sqs_dollars_a_month, 2_000 * 2_592_000 * 0.4 / 1e6)
    assert math.isclose(ten.wal_bytes_a_second, 10 * one.wal_bytes_a_second)
    assert ten.connections == 20


def test_the_nearest_limit_is_first() -> None:
    """Limits are in the order in which more workers reach them."""
    reached = [limit.workers for limit in limits(COSTS)]
    assert reached == sorted(reached)
    found = {limit.name: limit.workers for limit in limits(COSTS)}
    assert found["97 connections"] == 48.5
    assert found["120,000 messages in flight"] == 40
    assert found["WAL of 125 MB/s"] == 12.5
    assert found["16 cores of Postgres"] == 40
    # Of 10 calls 2 are looked up at 2,000 a second, and 8 are done at 10,000.
    assert found["quotas of KMS, if all workers start in one second"] == 1_000


def test_a_busy_vault_pays_less_for_most_calls_of_sqs() -> None:
    """Each tier of a month has its price."""
    assert math.isclose(sqs_dollars(1e9), 400)
    assert math.isclose(sqs_dollars(100e9), 40_000)
    assert math.isclose(sqs_dollars(150e9), 40_000 + 15_000)
    assert math.isclose(sqs_dollars(500e9), 40_000 + 30_000 + 72_000)
    assert math.isclose(need(COSTS, 100).sqs_dollars_a_month, sqs_dollars(200_000 * 2_592_000))


def test_each_figure_says_where_it_is_from() -> None:
    """A page, or the reader; the page of capacity shows them all."""
    text = PAGE.read_text(encoding="utf-8")
    for figure in FIGURES:
        assert figure.source.startswith(("[", "yours to set"))
        assert f"| {figure.name} | {figure.source} |" in text


def test_the_model_is_compared_with_two_measured_runs() -> None:
    """One process is bound by its core, two by the processors that they share with Postgres and the queue."""
    recorded = rows("ingest/0 ms", 1.2) + rows("ingest/0 ms, TLS", 1.2)
    assert measured(recorded, "ingest/0 ms", "vault-etl")["events/s"] == 15_000
    one, two, *needs = checks(recorded, processors=2, events=4_000)
    assert one == Check("one process: events/s", 20_000, 15_000)
    assert two == Check("two processes: events/s", 20_000, 18_000)
    found = {check.name.partition(": ")[2]: check for check in needs}
    assert found["WAL bytes an event"].expected == 1_000
    assert found["WAL bytes an event"].measured == 1_200
    assert found["KMS calls of a run"].expected == 20
    assert found["sessions of Postgres"].expected == 4
    assert found["most messages in flight"].expected == 4_000


def test_the_page_follows_the_model_and_the_results() -> None:
    """The page is not stale. If this fails: .venv/bin/python docs/generate_capacity.py."""
    assert PAGE.read_text(encoding="utf-8") == written()
