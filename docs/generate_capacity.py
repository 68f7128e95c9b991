#!/usr/bin/env python3
"""Writes docs/capacity.md from the model in benchmarks/capacity.py and the results in benchmarks/results/.

.venv/bin/python docs/generate_capacity.py
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import capacity, lake_costs, prices
from benchmarks.capacity import Check, EventCosts, Limit, Need
from benchmarks.lake_costs import LakeNeed, RowCosts
from benchmarks.prices import Figure
from benchmarks.results import LATEST, RUNS

PAGE: Final = Path(__file__).with_name("capacity.md")
WORKERS: Final = (1, 10, 100)
LAKE_ROWS: Final = (1e9, 1e11)
LAKE_PROCESSES: Final = (16, 256)
"""Of the two sizes of a lake."""

HEAD: Final = """# Capacity

<!-- Written by docs/generate_capacity.py from benchmarks/results/. `make bench` runs both. -->

One worker is one process of `ingest`. This page says how much of SQS, KMS and Postgres so many busy workers need,
and which limit comes next. It follows from the costs of one event ([Benchmarks](benchmarks.md)) by the model in
`benchmarks/capacity.py`. The model assumes a core for each worker, Postgres on a machine of its own, TLS to SQS, and a
queue that is never empty. Your events may be larger: run `make bench` on your machine.
"""

NEEDS: Final = """## Needs

SQS and KMS cost their list prices in us-east-1, without the free tiers; KMS asks a dollar a month more for each of the
four keys. A worker that waits for messages makes one receive a second.

"""

LIMITS: Final = """## Limits

The number of busy workers that reach each limit.

"""

LAKE: Final = """## A lake

What it takes to seal, open and rotate a set of so many rows, from the costs of one row of two personal values
([Benchmarks](benchmarks.md)) by the model in `benchmarks/lake_costs.py`. Each process has a core of its own and seals
under data keys of its own. Money is for cores and memory at the price of Fargate, calls of KMS and requests of S3. A
sealed row takes {bytes:.0f} bytes: in S3 10^9 rows cost {small} dollars a month, and 10^11 rows {large}. Waiting for S3
is not in it, and neither are the start of processes or of a cluster, idle cores, and the manifest that `lake rotate`
signs for each part (Spark signs one). A manifest names 80,000 parts at most, so 10^11 rows are several sets.

"""

LAKE_CHECKS: Final = """The same model beside runs of one process on one file ([Benchmarks](benchmarks.md)); the costs
of a row are from shorter runs.

"""

FIGURES: Final = """## Prices and quotas

The model counts with these figures; quotas of AWS can be raised. Prices change: look them up for your region. AWS fills
most of its price lists in by scripts, so that some prices are from pages that repeat them. All pages were read in
November 2026.

"""

CHECKS: Final = """## Measured

The model beside two measured runs, in which client, Postgres and queue shared the same processors. What two processes
need is expected from what one needed. Only the events a second depend on what else the machine did meanwhile: then they
are fewer than the model expects.

"""


def page(rows: Sequence[Mapping[str, Any]], run: Mapping[str, Any]) -> str:
    """Return the text of the page."""
    costs = EventCosts.of(rows)
    needs = [capacity.need(costs, workers) for workers in WORKERS]
    return (
        HEAD
        + "\n"
        + NEEDS
        + _table(["", *(f"{n} workers" if n > 1 else "1 worker" for n in WORKERS)], _needs(needs))
        + "\n"
        + LIMITS
        + _table(["limit", "workers", "what helps"], map(_limit, capacity.limits(costs)))
        + "\n"
        + _lake(rows)
        + "\n"
        + FIGURES
        + _table(["figure", "of", "from"], map(_source, prices.FIGURES))
        + "\n"
        + CHECKS
        + _table(
            ["of a run", "expected", "measured", "measured of expected"],
            map(_check, capacity.checks(rows, run["processors"], run["events"])),
        )
    )


def _needs(needs: Sequence[Need]) -> Iterator[Sequence[str]]:
    lines: Mapping[str, Sequence[float]] = {
        "events a second": [need.events_a_second for need in needs],
        "million events a day": [need.events_a_second * 86_400 / 1e6 for need in needs],
        "calls of SQS a second": [need.sqs_calls_a_second for need in needs],
        "dollars of SQS a month": [need.sqs_dollars_a_month for need in needs],
        "messages in flight": [need.in_flight for need in needs],
        "calls of KMS a day": [need.kms_calls_a_day for need in needs],
        "dollars of calls of KMS a month": [need.kms_dollars_a_month for need in needs],
        "connections of Postgres": [need.connections for need in needs],
        "cores of Postgres": [need.postgres_cores for need in needs],
        "MB of WAL a second": [need.wal_bytes_a_second / 1e6 for need in needs],
    }
    for name, values in lines.items():
        yield [name, *map(_figure, values)]


def _lake(rows: Sequence[Mapping[str, Any]]) -> str:
    costs = RowCosts.of(rows)
    small, large = (_figure(lake_costs.stored_dollars_a_month(costs, each)) for each in LAKE_ROWS)
    head = ["", "rows", "processes", "hours of CPU", "hours", "dollars", "calls of KMS", "parts"]
    needs = [
        _lake_need(lake_costs.need(costs, act, each, processes), processes)
        for each, processes in zip(LAKE_ROWS, LAKE_PROCESSES, strict=True)
        for act in lake_costs.ACTS
    ]
    return (
        LAKE.format(bytes=costs.sealed_bytes, small=small, large=large)
        + _table(head, iter(needs))
        + "\n"
        + LAKE_CHECKS
        + _table(
            ["of a run", "expected", "measured", "measured of expected"],
            map(_check, lake_costs.checks(rows)),
        )
    )


def _lake_need(need: LakeNeed, processes: int) -> Sequence[str]:
    figures = (need.hours, need.hours / processes, need.dollars, need.kms_calls, need.parts)
    return [need.act, f"{need.rows:,.0f}", str(processes), *map(_figure, figures)]


def _limit(limit: Limit) -> Sequence[str]:
    return [limit.name, _figure(limit.workers), limit.what_helps]


def _source(figure: Figure) -> Sequence[str]:
    return [f"{figure.value:,}", figure.name, figure.source]


def _check(check: Check) -> Sequence[str]:
    share = check.measured / check.expected
    return [check.name, _figure(check.expected), _figure(check.measured), f"{share:.0%}"]


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | map[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _figure(value: float) -> str:
    """Return two significant digits, or all digits before the point."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"  # noqa: PLR2004 - two digits


def written() -> str:
    """Return the text that the page is to have."""
    rows = json.loads(LATEST.read_text(encoding="utf-8"))
    runs = json.loads(RUNS.read_text(encoding="utf-8"))
    return page(rows, runs["ingest"])


def main() -> None:
    """Write the page."""
    PAGE.write_text(written(), encoding="utf-8")


if __name__ == "__main__":
    main()
