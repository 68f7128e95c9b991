"""The results of benchmarks: a subject beside its peer, as `results/latest.json` keeps them."""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import shutil
import statistics
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

RESULTS: Final = Path(__file__).with_name("results")
LATEST: Final = RESULTS / "latest.json"
RUNS: Final = RESULTS / "runs.json"
"""Of each bench: the machine, the versions, the time, and what was repeated how often."""

_DISTRIBUTIONS: Final = ("boto3", "cryptography", "psycopg2-binary")


@dataclass(frozen=True, slots=True)
class Result:
    """One metric of a subject and of its peer, from the same run.

    `bench` is the name of a bench, or the name, a slash and a setting: `ingest/10 ms`.
    """

    bench: str
    subject: str
    peer: str
    metric: str
    value: float
    peer_value: float

    @property
    def ratio(self) -> float:
        """The value divided by that of the peer; 0 if the peer's is 0."""
        return round(self.value / self.peer_value, 3) if self.peer_value else 0.0

    def as_dict(self) -> dict[str, object]:
        """Return the members of `latest.json`. Values have four significant digits."""
        return {
            "bench": self.bench,
            "subject": self.subject,
            "peer": self.peer,
            "metric": self.metric,
            "value": _rounded(self.value),
            "peer_value": _rounded(self.peer_value),
            "ratio": self.ratio,
        }


def median_results(
    bench: str,
    samples: Mapping[str, Sequence[Mapping[str, float]]],
    pairs: Iterable[tuple[str, str]],
) -> list[Result]:
    """Compare medians: of each pair of names, each metric that both have."""
    medians = {name: _medians(runs) for name, runs in samples.items() if runs}
    return [
        Result(bench, subject, peer, metric, value, medians[peer][metric])
        for subject, peer in pairs
        if subject in medians and peer in medians
        for metric, value in medians[subject].items()
        if metric in medians[peer]
    ]


def record(bench: str, results: Sequence[Result], run: Mapping[str, object]) -> None:
    """Replace the results of one bench in the two files."""
    kept = [
        each
        for each in (json.loads(LATEST.read_text("utf-8")) if LATEST.exists() else [])
        if each["bench"].partition("/")[0] != bench
    ]
    RESULTS.mkdir(exist_ok=True)
    lines = [json.dumps(each) for each in (*kept, *(result.as_dict() for result in results))]
    LATEST.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    runs = json.loads(RUNS.read_text("utf-8")) if RUNS.exists() else {}
    runs[bench] = {**machine(), **run}
    RUNS.write_text(json.dumps(runs, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def machine() -> dict[str, Any]:
    """Return what figures depend on: processors, versions, and what else the machine does."""
    node = shutil.which("node")
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "processors": os.cpu_count(),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": round(os.getloadavg()[0], 1),
        "versions": {
            "Python": platform.python_version(),
            "PostgreSQL": "18",
            **{name: version(name) for name in _DISTRIBUTIONS},
            **({"Node": _said(node, "--version")} if node else {}),
        },
    }


def _medians(runs: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {metric: statistics.median(run[metric] for run in runs) for metric in runs[0]}


def _rounded(value: float) -> float:
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded.is_integer() else rounded


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
