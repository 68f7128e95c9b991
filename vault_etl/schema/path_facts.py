"""Facts about the values at each path of sample events: types, lengths, and which kinds take them. No value is kept."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from vault_etl.declaration.json_path import MAX_NAMES, JsonPath
from vault_etl.event.dates import event_date
from vault_etl.event.extra_fields import OTHERS, shown_name
from vault_etl.event.rejection import Reason, RejectedError
from vault_etl.kinds.blank import is_blank
from vault_etl.kinds.kind import WHOLE_NUMBER, Kind
from vault_etl.kinds.make import OPTIONS, make_kind

MAX_PATHS: Final = 300
"""Distinct paths: the sender chooses names, and an object may have a name for each person."""

MAX_DISTINCT: Final = 1_000
"""Distinct values that are counted at one path."""

KINDS: Final[Mapping[str, Kind]] = {name: make_kind(name, {}) for name in OPTIONS if name != "text"}
"""The kinds that recognise their values."""

_NOTHING: Final = frozenset(make_kind("text", {}).placeholders)


@dataclass(slots=True)
class PathFacts:
    """The facts of one path. Texts that stand for "no value" are in `present` alone."""

    path: JsonPath
    present: int = 0
    """Events with a value that is not null and not blank."""
    texts: int = 0
    wholes: int = 0
    decimals: int = 0
    booleans: int = 0
    containers: int = 0
    """Objects, and lists."""
    lists: int = 0
    days: int = 0
    moments: int = 0
    unzoned: int = 0
    """Times without a zone."""
    longest: int = 0
    """Characters of the longest text, or of the longest spelling of a number."""
    shortest: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    """Texts, and spellings of whole numbers, that each kind accepts."""
    _seen: set[int] = field(default_factory=set)

    @property
    def distinct(self) -> int:
        """The number of distinct values, `MAX_DISTINCT` at most."""
        return len(self._seen)

    @property
    def values(self) -> int:
        """The texts and numbers."""
        return self.texts + self.wholes + self.decimals

    def add(self, value: object) -> None:
        """Count a value that is not null."""
        if isinstance(value, dict | list):
            self.containers += 1
            self.lists += isinstance(value, list)
        elif isinstance(value, bool):
            self.present += 1
            self.booleans += 1
        elif isinstance(value, bytes):
            self.present += 1
            self._add_number(value)
        elif isinstance(value, str) and not is_blank(value):
            self.present += 1
            if value.strip().lower() not in _NOTHING:
                self._add_text(value)

    def _add_number(self, spelling: bytes) -> None:
        is_whole = WHOLE_NUMBER.fullmatch(spelling) is not None
        self.wholes += is_whole
        self.decimals += not is_whole
        self._add_spelling(spelling.decode("ascii"))
        if is_whole:
            self.kinds["digits"] += _takes(KINDS.get("digits"), spelling.decode("ascii"))

    def _add_text(self, text: str) -> None:
        self.texts += 1
        self._add_spelling(text)
        for name, kind in KINDS.items():
            self.kinds[name] += _takes(kind, text)
        try:
            _, moment = event_date(text, "$")
        except RejectedError as rejected:
            self.unzoned += rejected.rejection.reason is Reason.TIME_WITHOUT_ZONE
            return
        self.days += moment is None
        self.moments += moment is not None

    def _add_spelling(self, text: str) -> None:
        self.longest = max(self.longest, len(text))
        self.shortest = min(self.shortest or len(text), len(text))
        if len(self._seen) < MAX_DISTINCT:
            self._seen.add(hash(text))


@dataclass(frozen=True, slots=True)
class EventFacts:
    """The facts of all paths of sample events, in the order in which they come."""

    events: int
    paths: tuple[PathFacts, ...]
    unnamed: int
    """Values below names that may be values themselves, such as an e-mail address: they are not shown."""


def facts_of(events: Iterable[Mapping[str, object]]) -> EventFacts:
    """Collect the facts of these events."""
    found: dict[tuple[str, ...], PathFacts] = {}
    count = unnamed = 0
    for event in events:
        count += 1
        for names, value in _values((), event):
            if names not in found and len(found) < MAX_PATHS and _is_shown(names):
                found[names] = PathFacts(JsonPath(names))
            if names in found:
                found[names].add(value)
            else:
                unnamed += 1
    return EventFacts(count, tuple(found.values()), unnamed)


def _values(
    names: tuple[str, ...], value: Mapping[str, object]
) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield each value that is not null, with its names; objects too, before what is in them."""
    for name, inner in value.items():
        if inner is None:
            continue
        yield (*names, name), inner
        if isinstance(inner, dict) and len(names) + 1 < MAX_NAMES:
            yield from _values((*names, name), inner)


def _is_shown(names: tuple[str, ...]) -> bool:
    return all(shown_name(name) != OTHERS for name in names)


def _takes(kind: Kind | None, text: str) -> bool:
    if kind is None or len(text) > kind.max_code_points:
        return False
    try:
        kind.accept(text)
    except ValueError:
        return False
    return True
