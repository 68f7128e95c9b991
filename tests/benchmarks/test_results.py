"""Results are recorded as a list of comparisons, and docs/benchmarks.md follows it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from benchmarks import results
from benchmarks.results import LATEST, Result, median_results, record
from docs.generate_benchmarks import PAGE, written

MEMBERS = ["bench", "subject", "peer", "metric", "value", "peer_value", "ratio"]


def test_medians_are_compared_where_both_have_the_metric() -> None:
    """A peer that was left out, and a metric that it lacks, are not compared."""
    samples = {"ours": [{"s": 3.0, "MB": 1.0}, {"s": 1.0, "MB": 1.0}, {"s": 8.0, "MB": 1.0}]}
    peers = {"theirs": [{"s": 6.0}]}
    compared = median_results("b", samples | peers, [("ours", "theirs"), ("ours", "absent")])
    assert compared == [Result("b", "ours", "theirs", "s", 3.0, 6.0)]
    assert math.isclose(compared[0].ratio, 0.5)


def test_a_bench_replaces_its_own_results_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results of other benches are kept, whatever the settings of the bench are."""
    monkeypatch.setattr(results, "RESULTS", tmp_path)
    monkeypatch.setattr(results, "LATEST", tmp_path / "latest.json")
    monkeypatch.setattr(results, "RUNS", tmp_path / "runs.json")
    monkeypatch.setattr(results, "machine", dict)
    record("start", [Result("start", "a", "b", "ms", 2.0, 1.0)], {"rounds": 1})
    for value in (1.0, 12345.6):
        record("ingest", [Result("ingest/0 ms", "a", "b", "ms", value, 2.0)], {"rounds": 5})
    listed = json.loads((tmp_path / "latest.json").read_text("utf-8"))
    assert [(row["bench"], row["value"]) for row in listed] == [
        ("start", 2),
        ("ingest/0 ms", 12350),
    ]
    assert json.loads((tmp_path / "runs.json").read_text("utf-8"))["ingest"] == {"rounds": 5}


def test_the_recorded_results_have_their_members() -> None:
    """`latest.json` is a list of objects with these members, and no peer is without a value."""
    listed = json.loads(LATEST.read_text(encoding="utf-8"))
    assert listed
    assert all(list(row) == MEMBERS for row in listed)


def test_the_page_and_its_plots_follow_the_results() -> None:
    """Nothing is stale. If this fails: .venv/bin/python docs/generate_benchmarks.py."""
    for path, text in written().items():
        assert path.read_text(encoding="utf-8") == text, path.name
    assert PAGE in written()
