"""A model of the cost of a lake: so many rows sealed, opened and rotated, from the costs of one row that were measured.

Each process has a core of its own, and as much memory as it had in the measured run. `prices.py` has the prices.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from benchmarks import lake, prices
from benchmarks.capacity import LOOK_UPS_OF_A_START, Check, measured
from vault_etl.archives.parquet_rows import PART_BYTES
from vault_etl.crypto.limits import MAX_SEALS
from vault_etl.declaration.read import read_declaration

ACTS: Final = (lake.SEAL, lake.OPEN, lake.ROTATE)
VALUES: Final = len(read_declaration(None).active_events[0].personal)
"""Personal values of a row of the measured event, each of a field of its own."""


@dataclass(frozen=True, slots=True)
class RowCosts:
    """The costs of one row in one process: microseconds of CPU by act, bytes sealed, bytes of memory of a process."""

    us: Mapping[str, float]
    sealed_bytes: float
    memory_bytes: float

    @classmethod
    def of(cls, rows: Sequence[Mapping[str, Any]]) -> RowCosts:
        """Read the costs from the rows of `latest.json`. Raises KeyError if one was not measured."""
        found = {act: measured(rows, "lake", act) for act in ACTS}
        return cls(
            {act: figures[lake.CPU] for act, figures in found.items()},
            found[lake.SEAL][lake.BYTES],
            max(figures[lake.MEMORY] for figures in found.values()) * 1e6,
        )


@dataclass(frozen=True, slots=True)
class LakeNeed:
    """The needs of one act on so many rows."""

    act: str
    rows: float
    hours: float
    """Of one core."""
    dollars: float
    """For the cores, their memory and the requests, without what is stored."""
    kms_calls: float
    parts: float


def stored_bytes(costs: RowCosts, rows: float) -> float:
    """Return the size of a set of so many rows."""
    return rows * costs.sealed_bytes


def stored_dollars_a_month(costs: RowCosts, rows: float) -> float:
    """Return the price of a set in S3."""
    return stored_bytes(costs, rows) / 1e9 * prices.S3_MONTH.value


def need(costs: RowCosts, act: str, rows: float, processes: int) -> LakeNeed:
    """Return the needs of an act on so many rows, which as many processes share.

    Each process that seals has data keys of its own. One that opens unwraps all keys of its parts: those of one
    process, if as many processes sealed the set. A rotation does both, and makes tokens.
    """
    hours = rows * costs.us[act] / 3.6e9
    parts = math.ceil(stored_bytes(costs, rows) / PART_BYTES)
    data_keys = VALUES * math.ceil(rows / processes / MAX_SEALS)
    of_a_process = {
        lake.SEAL: data_keys + VALUES + LOOK_UPS_OF_A_START,
        lake.OPEN: data_keys + VALUES,
        lake.ROTATE: 2 * data_keys + 2 * VALUES + LOOK_UPS_OF_A_START,
    }
    kms_calls = processes * of_a_process[act]
    dollars = (
        hours * (prices.VCPU.value + costs.memory_bytes / 1e9 * prices.GIGABYTE_HOUR.value)
        + kms_calls / 1e6 * prices.KMS_CALLS.value
        + (parts if act != lake.OPEN else 0) / 1e6 * prices.S3_PUTS.value
        + (parts if act != lake.SEAL else 0) / 1e6 * prices.S3_GETS.value
    )
    return LakeNeed(act, rows, hours, dollars, kms_calls, parts)


def checks(rows: Sequence[Mapping[str, Any]]) -> Iterator[Check]:
    """Compare the model with each run of `lake-growth`: the CPU and the bytes of all its rows."""
    costs = RowCosts.of(rows)
    names = {
        name
        for row in rows
        if row["bench"] == lake.GROWTH
        for name in (row["subject"], row["peer"])
    }
    for name in sorted(names, key=lambda name: (rows_of(name), name)):
        act, count, found = (
            name.partition(", ")[0],
            rows_of(name),
            measured(rows, lake.GROWTH, name),
        )
        if act in ACTS:
            yield Check(
                f"{name}: CPU s", count * costs.us[act] / 1e6, count * found[lake.CPU] / 1e6
            )
        if act == lake.SEAL:
            expected = stored_bytes(costs, count)
            yield Check(f"{name}: MB", expected / 1e6, count * found[lake.BYTES] / 1e6)


def rows_of(name: str) -> int:
    """Return the number of rows in the name of a subject of `lake-growth`."""
    return int(name.partition(", ")[2].removesuffix(" rows").replace(",", ""))
