"""Unknown fields that were dropped: how many, and the names that may be shown.

A name is data of the sender, like a value. One that looks like a field's is shown; all others are
counted under `OTHERS`: an address, a number, an e-mail address, a sentence.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

OTHERS: Final = "(others)"
"""No field's name is so."""

MAX_NAMES: Final = 100
"""Names that are told apart: the first ones. A sender chooses them, and memory and logs are ours."""

MAX_SHOWN: Final = 20

_NAME: Final = re.compile(r"(?!(?:[^0-9]*[0-9]){4})[A-Za-z_][A-Za-z0-9_.-]{0,63}")
"""Of three digits at most: more are an id, a number or a hash, and not the name of a field."""


def shown_name(name: str, other: str = OTHERS) -> str:
    """`name` if it looks like a field's, else `other`."""
    return name if _NAME.fullmatch(name) else other


def shown_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names in order, each as it is or as `OTHERS`."""
    return tuple(sorted(map(shown_name, names)))


class ExtraFields:
    """Counts by name. Not for several threads at once."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, names: Iterable[str]) -> None:
        """Each of these once more."""
        self.merge(Counter(names))

    def merge(self, counts: Mapping[str, int]) -> None:
        """So many more of each."""
        for name, count in counts.items():
            known = name in self._counts or len(self._counts) < MAX_NAMES
            self._counts[name if known else OTHERS] += count

    @property
    def counts(self) -> Mapping[str, int]:
        """Of all names that are told apart."""
        return dict(self._counts)

    @property
    def total(self) -> int:
        """How many fields."""
        return self._counts.total()

    def most(self) -> dict[str, int]:
        """The most frequent names, `MAX_SHOWN` at most, and last what all the rest are together."""
        named = sorted(
            ((name, count) for name, count in self._counts.items() if name != OTHERS),
            key=lambda pair: (-pair[1], pair[0]),
        )
        shown = dict(named[:MAX_SHOWN])
        rest = self.total - sum(shown.values())
        return shown | ({OTHERS: rest} if rest else {})
