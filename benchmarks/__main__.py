"""Run benchmarks, and print their results. With --record they also replace the earlier ones of the same benches.

.venv/bin/python -m benchmarks [--size full|huge|quick|tiny] [--record] [NAME …]
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from benchmarks import (
    archive,
    growth,
    indexes,
    ingest,
    lake,
    lake_spark,
    layout,
    loading,
    looks,
    online,
    rotation,
    scale,
    start,
)
from benchmarks.results import Result, record
from benchmarks.size import FULL, SIZES, Size

BENCHES: Final[Mapping[str, Callable[[Size], Iterator[Result]]]] = {
    "start": start.run,
    "ingest": ingest.run,
    "loading": loading.run,
    "rotation": rotation.run,
    "lake": lake.run,
    lake.GROWTH: lake.grow,
    lake_spark.BENCH: lake_spark.run,
    "growth": growth.run,
    "scale": scale.run,
    "looks": looks.run,
    "online": online.run,
    "archive": archive.run,
    "layout": layout.run,
    "indexes": indexes.run,
}
ALWAYS: Final = ("start", "ingest", "loading", "rotation", "lake")
"""The benches that run if none is named. Growth takes an hour if it is huge; the others are about one decision each."""


def main() -> None:
    """Run the named benches, or those of `ALWAYS`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--size", choices=SIZES, default=FULL.name)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHES)
    if unknown:
        parser.error(f"no bench is named {', '.join(sorted(unknown))}")
    # So that a benchmark that is terminated ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    size = SIZES[arguments.size]
    for name in arguments.names or ALWAYS:
        size.say(f"{name}, {size.name}")
        began = time.monotonic()
        results = list(BENCHES[name](size))
        for result in results:
            sys.stdout.write(line(result) + "\n")
        sys.stdout.flush()
        if arguments.record:
            run = {
                "rounds": size.rounds,
                "events": size.events,
                "seconds": round(time.monotonic() - began),
            }
            record(name, results, run)


def line(result: Result) -> str:
    """Return one line of text: the metric of both, and the ratio."""
    return (
        f"{result.bench:18} {result.subject:26} {result.value:12,.1f} "
        f"{result.peer:26} {result.peer_value:12,.1f} {result.ratio:8.2f}  {result.metric}"
    )


if __name__ == "__main__":
    main()
