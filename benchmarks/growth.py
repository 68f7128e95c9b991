"""Growth of the cost of commands with the vault, and of the memory of an ingest with its backlog.

Ten million rows take an hour on a busy machine, and 10 GB.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Final

from benchmarks.ingest import MEMORY, Runs
from benchmarks.programs import VAULT, Setting
from benchmarks.results import Result
from benchmarks.scale import compared, costs_of
from benchmarks.size import Size
from benchmarks.stack import embedded_stack

COMMANDS: Final = (
    "`duplicates`",
    "`find` of a value",
    "`erase --user-id`",
    "`keys list`",
    "`audit verify`",
    "`ingest` of 20,000",
)


def run(size: Size) -> Iterator[Result]:
    """Run the commands on vaults of each size, and an ingest of each backlog."""
    yield from compared("growth", costs_of(size.growth, COMMANDS))
    with embedded_stack() as stack:
        runs = Runs(stack, size.events)
        memory = {
            events: runs.load(VAULT, Setting("0 ms"), events)[0].peak_bytes / 1e6
            for events in size.backlogs
        }
    for fewer, more in itertools.pairwise(size.backlogs):
        subject, before = (f"`ingest`, {events:,} messages" for events in (more, fewer))
        yield Result("growth/backlog", subject, before, MEMORY, memory[more], memory[fewer])
