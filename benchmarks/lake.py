"""Parquet files sealed, opened and rotated, beside the same files read and written by pyarrow alone.

One process, and as many as there are processors, each with files of its own. The limit is what any program that reads
sealed Parquet and writes it has to do. `run` compares rows and CPU; `grow` compares the memory of one process, and has
two points for the model of `lake_costs.py`.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.lake_program import Work, made_up
from benchmarks.results import Result, median_results
from benchmarks.size import Size

COPY: Final = "Parquet read and written"
SEAL: Final = "seal"
OPEN: Final = "open"
ROTATE: Final = "rotate"
GROWTH: Final = "lake-growth"
RATE: Final = "rows/s"
CPU: Final = "CPU µs a row"
BYTES: Final = "bytes a row"
MEMORY: Final = "most MB of memory of a process"

_VERBS: Final = {SEAL: "sealed", OPEN: "opened", ROTATE: "rotated", COPY: "copied"}
_FILES_A_PROCESS: Final = 2


def all_cores() -> int:
    """The processes of a pool."""
    return max(2, os.cpu_count() or 2)


def of_all(name: str) -> str:
    """Return the name of a subject that has all cores."""
    return f"{name}, {all_cores()} processes"


def run(size: Size) -> Iterator[Result]:
    """Run each, `size.rounds` times in turn, on one process and on all cores."""
    samples: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as temporary:
        files = Files(Path(temporary), 2 * size.rows, _FILES_A_PROCESS * all_cores())
        for number in range(size.rounds):
            for name in _VERBS:
                samples[name].append(_figures(files.work(name, 1)))
                samples[of_all(name)].append(_figures(files.work(name, all_cores())))
            size.say(f"round {number + 1} of {size.rounds}")
    names = (SEAL, OPEN, ROTATE)
    pairs = [(name, COPY) for name in names] + [(of_all(name), name) for name in (*names, COPY)]
    yield from median_results("lake", samples, pairs)


def grow(size: Size) -> Iterator[Result]:
    """Run each once in one process, on one file of each number of rows."""
    found: dict[tuple[str, int], Mapping[str, float]] = {}
    for rows in size.growth:
        with tempfile.TemporaryDirectory() as temporary:
            files = Files(Path(temporary), rows, 1)
            for name in _VERBS:
                work = files.first_seal if name == SEAL else files.work(name, 1)
                found[name, rows] = _figures(work)
                size.say(f"{name}, {rows:,} rows")
    for name, (fewer, more) in itertools.product(_VERBS, itertools.pairwise(size.growth)):
        for metric, value in found[name, more].items():
            subject, before = (f"{name}, {rows:,} rows" for rows in (more, fewer))
            yield Result(GROWTH, subject, before, metric, value, found[name, fewer][metric])


class Files:
    """Made-up events in files of equal length, and folders of what becomes of them."""

    def __init__(self, folder: Path, rows: int, files: int) -> None:
        self._folders = {name: folder / name for name in ("plain", *_VERBS.values())}
        for path in self._folders.values():
            path.mkdir()
        for number in range(files):
            each = rows // files
            made_up(self._folders["plain"] / f"{number}.parquet", each, number * each)
        self.first_seal = self.work(SEAL, 1)
        """In one process; the others read what it sealed."""

    def work(self, name: str, processes: int) -> Work:
        """Let so many processes do it to all files. What was sealed stays, for the others."""
        verb = _VERBS[name]
        source = self._folders["plain" if verb == "sealed" else "sealed"]
        arguments = (verb, str(source), str(self._folders[verb]), str(processes))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.lake_program", *arguments],
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            check=True,
        )
        if verb != "sealed":
            for path in self._folders[verb].iterdir():
                path.unlink()
        return Work(**json.loads(done.stdout))


def _figures(work: Work) -> Mapping[str, float]:
    return {
        RATE: work.rows / work.seconds,
        CPU: work.cpu / work.rows * 1e6,
        BYTES: work.bytes / work.rows,
        MEMORY: work.peak_bytes / 1e6,
    }
