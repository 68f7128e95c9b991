"""Counts of dropped unknown fields, by the names that may be shown.

A name is data of the sender, like a value. A name that looks like the name of a field is shown. All
other names (an address, a number, an e-mail address, a sentence) are counted under `OTHERS`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

OTHERS: Final = "(others)"
"""The count of all names that are not shown. No field has this name."""

MAX_NAMES: Final = 100
"""Distinct names that are counted: the first ones. The sender chooses names, and must not fill memory or logs."""

MAX_SHOWN: Final = 20

_NAME: Final = re.compile(r"(?!(?:[^0-9]*[0-9]){4})[A-Za-z_][A-Za-z0-9_.-]{0,63}")
"""A name has three digits at most: more digits are an id, a number or a hash."""


def shown_name(name: str, other: str = OTHERS) -> str:
    """Return `name` if it looks like the name of a field, else `other`."""
    return name if _NAME.fullmatch(name) else other


def shown_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names in order, each unchanged or as `OTHERS`."""
    return tuple(sorted(map(shown_name, names)))


class ExtraFields:
    """Counts by name. Not safe for several threads."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def add(self, names: Iterable[str]) -> None:
        """Count each of these names once more."""
        self.merge(Counter(names))

    def merge(self, counts: Mapping[str, int]) -> None:
        """Add counts by name."""
        for name, count in counts.items():
            known = name in self._counts or len(self._counts) < MAX_NAMES
            self._counts[name if known else OTHERS] += count

    @property
    def counts(self) -> Mapping[str, int]:
        """The counts of all distinct names."""
        return dict(self._counts)

    @property
    def total(self) -> int:
        """The number of dropped fields."""
        return self._counts.total()

    def most(self) -> dict[str, int]:
        """Return the most frequent names, `MAX_SHOWN` at most, and last the sum of all others."""
        named = sorted(
            ((name, count) for name, count in self._counts.items() if name != OTHERS),
            key=lambda pair: (-pair[1], pair[0]),
        )
        shown = dict(named[:MAX_SHOWN])
        rest = self.total - sum(shown.values())
        return shown | ({OTHERS: rest} if rest else {})
