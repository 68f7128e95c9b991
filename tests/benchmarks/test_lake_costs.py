"""The model of what a lake costs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from benchmarks import lake, prices
from benchmarks.capacity import Check
from benchmarks.lake_costs import ACTS, RowCosts, checks, need, stored_dollars_a_month

COSTS = RowCosts(dict(zip(ACTS, (36, 7.2, 18), strict=True)), sealed_bytes=150, memory_bytes=1e8)


def recorded(bench: str, subject: str, peer: str, us: float) -> Iterator[dict[str, object]]:
    """The rows of `latest.json` in which a subject has these microseconds a row, and its peer half of them."""
    for metric, value in {lake.CPU: us, lake.BYTES: 150.0, lake.MEMORY: 100.0}.items():
        half = us / 2 if metric == lake.CPU else value
        names = {"bench": bench, "subject": subject, "peer": peer, "metric": metric}
        yield {**names, "value": value, "peer_value": half, "ratio": value / half}


def test_cores_cost_most_and_grow_with_the_rows() -> None:
    """10^9 rows at 36 µs are ten hours of a core; ten times as many processes take a tenth of the time each."""
    small, large = (need(COSTS, lake.SEAL, rows, 10) for rows in (1e9, 1e11))
    assert math.isclose(small.hours, 10)
    assert math.isclose(large.hours, 1_000)
    hour = prices.VCPU.value + 0.1 * prices.GIGABYTE_HOUR.value
    assert 10 * hour < small.dollars < 10 * hour + 0.02
    assert math.isclose(stored_dollars_a_month(COSTS, 1e9), 150 * prices.S3_MONTH.value)


def test_keys_are_asked_for_by_process_and_by_seals() -> None:
    """A process that seals has two data keys and two token keys, and more data keys beyond 2^28 rows."""
    assert need(COSTS, lake.SEAL, 1e9, 10).kms_calls == 10 * (2 + 2 + 2)
    assert need(COSTS, lake.SEAL, 1e9, 1).kms_calls == 2 * 4 + 2 + 2
    assert need(COSTS, lake.OPEN, 1e9, 10).kms_calls == 10 * (2 + 2)
    assert need(COSTS, lake.ROTATE, 1e9, 10).kms_calls == 10 * (4 + 4 + 2)


def test_the_model_is_compared_with_the_runs_that_grew() -> None:
    """Each size of each act is a check, and no size of the limit is."""
    rows = [
        row
        for act, us in COSTS.us.items()
        for row in (
            *recorded("lake", act, lake.COPY, us),
            *recorded(lake.GROWTH, f"{act}, 1,000,000 rows", f"{act}, 100,000 rows", us),
        )
    ]
    rows += recorded(lake.GROWTH, f"{lake.COPY}, 1,000,000 rows", f"{lake.COPY}, 100,000 rows", 1)
    assert RowCosts.of(rows) == COSTS
    found = {check.name: check for check in checks(rows)}
    assert len(found) == 2 * (len(ACTS) + 1)
    name = "seal, 100,000 rows: CPU s"
    assert found[name] == Check(name, 3.6, 1.8)
    assert found["rotate, 1,000,000 rows: CPU s"].measured == 18
    assert found["seal, 1,000,000 rows: MB"].expected == 150
