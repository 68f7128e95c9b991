"""Time of commands that do little but start, beside an interpreter that does nothing.

`python -X importtime -m vault_etl --help` says what is imported, and how long each import takes.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from benchmarks.results import Result, median_results
from benchmarks.size import Size
from benchmarks.used import used_by

NOTHING: Final = "python -c pass"
COMMANDS: Final[Mapping[str, Sequence[str]]] = {
    NOTHING: ("-c", "pass"),
    "vault-etl --help": ("-m", "vault_etl", "--help"),
    "vault-etl reveal --help": ("-m", "vault_etl", "reveal", "--help"),
    "vault-etl schema show": ("-m", "vault_etl", "schema", "show"),
}
RUNS_A_ROUND: Final = 4
"""The quickest of a round counts: what else the machine does makes the others slower."""


def run(size: Size) -> Iterator[Result]:
    """Start each command in turn."""
    samples: defaultdict[str, list[Mapping[str, float]]] = defaultdict(list)
    for _ in range(size.rounds):
        for name, arguments in COMMANDS.items():
            runs = [used_by((sys.executable, *arguments)) for _ in range(RUNS_A_ROUND)]
            least = {
                "ms": min(each.seconds for each in runs) * 1000,
                "CPU ms": min(each.cpu for each in runs) * 1000,
            }
            samples[name].append(least)
    pairs = [(name, NOTHING) for name in COMMANDS if name != NOTHING]
    yield from median_results("start", samples, pairs)
