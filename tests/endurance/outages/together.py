"""Cases that mostly wait, run at the same time: each in a database and on a queue of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.endurance.outages.crashable import copy_of
from tests.kit.vault import Vault

Case = Callable[[Vault], None]

SECONDS = 170


class Together:
    """The ends of the cases."""

    def __init__(self, ends: Mapping[str, Future[None]]) -> None:
        self._ends = ends

    def result(self, name: str) -> None:
        """Wait for this case, and raise what it raised."""
        self._ends[name].result(SECONDS)


@contextmanager
def together(
    template: Vault, home: Path, cases: Mapping[str, Case], at_once: int
) -> Iterator[Together]:
    """Start them all, at most `at_once` at a time; at the end of the block all have ended."""
    with ExitStack() as stack:
        vaults = {
            name: stack.enter_context(copy_of(template, home / f"case-{n}"))
            for n, name in enumerate(cases)
        }
        threads = stack.enter_context(ThreadPoolExecutor(at_once))
        yield Together({name: threads.submit(cases[name], vaults[name]) for name in cases})
