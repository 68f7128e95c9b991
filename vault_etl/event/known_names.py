"""The names at the top of messages, for content that says them once: the header row of CSV."""

from __future__ import annotations

from dataclasses import dataclass

from vault_etl.declaration.model import Declaration


@dataclass(frozen=True, slots=True)
class KnownNames:
    """The names that declared events know, and those that each event requires, in the order of its declaration.

    A required value that is not at the top is named by its path, which no header row has.
    """

    known: frozenset[str]
    of_events: tuple[tuple[str, ...], ...]

    @classmethod
    def of(cls, declaration: Declaration) -> KnownNames:
        """Return the names of all events that take messages."""
        events = declaration.active_events
        whens = [(event.when.path,) if event.when else () for event in events]
        paths = [
            (*when, *(v.path for v in event.values if v.required and not v.retired))
            for when, event in zip(whens, events, strict=True)
        ]
        tops = (value.path.names[0] for event in events for value in event.values)
        return cls(
            frozenset(tops) | {path.names[0] for when in whens for path in when},
            tuple(
                tuple(p.names[0] if len(p.names) == 1 else str(p) for p in each) for each in paths
            ),
        )

    @property
    def required(self) -> tuple[str, ...]:
        """The names that an event requires, each once."""
        return tuple(dict.fromkeys(name for names in self.of_events for name in names))

    def missing(self, names: frozenset[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the names that the nearest event requires and `names` has not, and all that it requires."""
        lacks = [(tuple(n for n in of if n not in names), of) for of in self.of_events]
        return min(lacks, key=lambda lack: len(lack[0]))
