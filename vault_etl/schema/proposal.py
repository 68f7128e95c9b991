"""A proposed declaration, as TOML with comments that say why, and what a person has to decide.

The proposal is a valid declaration, and holds no value of the sample events.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from vault_etl.base.errors import DataError
from vault_etl.declaration.json_path import JsonPath
from vault_etl.declaration.model import PlainType
from vault_etl.declaration.names import (
    is_reserved_column,
    is_reserved_field,
)
from vault_etl.declaration.parse import parse_declaration
from vault_etl.declaration.rules import MAX_PERSONAL, MAX_PLAIN_COLUMNS
from vault_etl.kinds.blank import is_blank
from vault_etl.schema.classify import (
    LeftOut,
    PersonalGuess,
    PlainGuess,
    guess,
    is_day,
    is_in_most,
    may_be_subject,
    names_a_person,
    snake,
    subject_of,
)
from vault_etl.schema.path_facts import EventFacts, PathFacts, facts_of

_SHARED: Final = frozenset({"ip", "email", "phone"})
"""Kinds of which all values are of one field, so that they join."""

_LONGEST_INDEX: Final = 50
"""Characters of an event and a value together: `EVENT_next_masked_VALUE` has 63."""

_DAY: Final = "day"


@dataclass(slots=True)
class GivenNames:
    """The names that are given out so far."""

    longest: int
    taken: set[str] = field(default_factory=set)

    def give(self, path: JsonPath, *, ends: Sequence[str] = ("",), room: int = 0) -> str:
        """Return a name like that of the path, whose columns are free, and take it.

        The name leaves `room` for so many more characters.
        """
        longest = self.longest - room
        name = "_".join(filter(None, map(snake, path.names))) or "value"
        if len(name) > longest:
            name = "_".join(filter(None, map(snake, path.names[-1:]))) or "value"
        if not name[0].isalpha() or is_reserved_field(name) or is_reserved_column(name):
            name = f"the_{name}"
        name, number = name[:longest].rstrip("_"), 2
        base = name
        while not self._is_free(name, ends):
            suffix = f"_{number}"
            name, number = base[: longest - len(suffix)] + suffix, number + 1
        self.taken |= {name, *(end.format(name) for end in ends if end)}
        return name

    def _is_free(self, name: str, ends: Sequence[str]) -> bool:
        columns = {name, *(end.format(name) for end in ends if end)}
        return not is_reserved_column(name) and not columns & self.taken


_COLUMNS: Final = ("masked_{}", "next_masked_{}", "{}_ciphertext")


def propose(
    events: Sequence[Mapping[str, object]], event: str, subject: JsonPath | None = None
) -> str:
    """Return the proposal for one event of this name. `subject` is the path of the person's id.

    Events without the subject decide nothing else. Raises DataError if no path can be the subject, or
    no path looks personal.
    """
    path = _subject(facts_of(events), subject).path
    whole = [each for each in events if _is_given(path.find(each))]
    text = _Proposal(facts_of(whole), len(events), event, path).text
    parse_declaration(text.encode(), "the proposal")
    return text


def _subject(facts: EventFacts, path: JsonPath | None) -> PathFacts:
    """Return the facts of the subject."""
    hint = (
        "--subject '$.PATH' names it: a text or whole number that every event has, stored in clear"
    )
    fit = [each for each in facts.paths if may_be_subject(each)]
    if path is not None:
        found = next((each for each in fit if each.path == path), None)
        if found is None:
            message = f"{path} cannot be the subject"
            raise DataError(message, hint=hint)
        return found
    named = [each for each in fit if names_a_person(each) and is_in_most(each, facts.events)]
    if not named:
        message = "no path looks like the id of a person, which the subject is"
        raise DataError(message, hint=hint)
    return min(named, key=lambda each: len(each.path.names))


def _is_given(value: object) -> bool:
    return isinstance(value, bytes) or (isinstance(value, str) and not is_blank(value))


class _Proposal:
    def __init__(self, facts: EventFacts, events: int, event: str, subject: JsonPath) -> None:
        self._facts = facts
        self._names = GivenNames(min(31, _LONGEST_INDEX - len(event)))
        self._fields: dict[str, str] = {}
        self._personal: list[str] = []
        self._plain: list[str] = []
        self._left_out: list[str] = []
        guesses = {each.path: (each, guess(each)) for each in facts.paths}
        kinds = {each.kind for _, each in guesses.values() if isinstance(each, PersonalGuess)}
        self._names.taken |= kinds & _SHARED
        person = next(each for each in facts.paths if each.path == subject)
        names = (self._add_plain(person, subject_of(person)), self._add_day())
        for each, found in guesses.values():
            if isinstance(found, PersonalGuess) and each is not person:
                self._add_personal(each, found)
        for each, found in guesses.values():
            if isinstance(found, PlainGuess) and each is not person and each is not self._day:
                self._add_plain(each, found)
            if isinstance(found, LeftOut) and (each.lists or each.present or not each.containers):
                self._left_out.append(f"{each.path}: {found.words}")
        if not self._personal:
            message = "no path looks personal, and an event has a personal value"
            raise DataError(message, hint="events without one do not need the vault")
        self.text = self._written(event, events - facts.events, *names)

    @property
    def _day(self) -> PathFacts | None:
        """The facts of the day of an event."""
        days = [
            each
            for each in self._facts.paths
            if is_day(each) and isinstance(guess(each), PlainGuess)
        ]
        return min(
            days,
            key=lambda each: (each.present < self._facts.events, len(each.path.names)),
            default=None,
        )

    def _add_day(self) -> str:
        found = self._day
        if found is None:
            name = self._names.give(JsonPath((_DAY,)))
            path = f', path = "$.{_DAY}"' if name != _DAY else ""
            self._plain.append("# No path has days: a record has the day on which it was sent.")
            self._plain.append(f'{name} = {{type = "day"{path}}}')
            return name
        if not found.moments:
            return self._add_plain(found, PlainGuess("All are days", type=PlainType.DAY))
        name = self._names.give(found.path, ends=("{}_time",), room=len("_time"))
        words = {"type": "day", "moment": f"{name}_time"}
        self._plain += [
            f"# {self._said(found)}. All are days or moments.",
            self._entry(name, found, words),
        ]
        return name

    def _add_personal(self, facts: PathFacts, found: PersonalGuess) -> None:
        if len(self._personal) // 2 >= MAX_PERSONAL:
            self._left_out.append(f"{facts.path}: more than {MAX_PERSONAL} personal values")
            return
        is_shared = found.kind in _SHARED
        if is_shared and facts.path.names == (found.kind,):
            name = found.kind
            self._names.taken |= {end.format(name) for end in _COLUMNS}
        else:
            name = self._names.give(facts.path, ends=_COLUMNS)
        of = found.kind if is_shared else name
        self._fields[of] = found.kind + (f'"\nmax = {found.max}' if found.max else '"')
        decide = "" if found.is_sure else "Decide: "
        rest = "" if found.is_sure else " Make it plain if it names no person."
        self._personal += [
            f"# {decide}{self._said(facts)}. {found.words}.{rest}",
            self._entry(name, facts, {} if of == name else {"field": of}),
        ]

    def _add_plain(self, facts: PathFacts, found: PlainGuess) -> str:
        if len(self._plain) // 2 >= MAX_PLAIN_COLUMNS:
            self._left_out.append(f"{facts.path}: more than {MAX_PLAIN_COLUMNS} plain columns")
            return ""
        name = self._names.give(facts.path)
        words = {"type": found.type, "max": found.max, "numbers": found.numbers}
        self._plain += [f"# {self._said(facts)}. {found.words}.", self._entry(name, facts, words)]
        return name

    def _said(self, facts: PathFacts) -> str:
        events = self._facts.events
        return "In all events" if facts.present == events else f"In {facts.present:,} of {events:,}"

    def _entry(self, name: str, facts: PathFacts, words: Mapping[str, object]) -> str:
        path = None if facts.path.names == (name,) else str(facts.path)
        required = True if facts.present == self._facts.events else None
        given = {**words, "path": path, "required": required}
        pairs = (
            f"{key} = {json.dumps(value)}" for key, value in given.items() if value is not None
        )
        return f"{name} = {{{', '.join(pairs)}}}"

    def _written(self, event: str, without: int, subject: str, day: str) -> str:
        lines = [
            f"# Proposed by `vault-etl schema infer` from {self._facts.events:,} events. Read each line.",
            "format = 1",
        ]
        for name, kind in self._fields.items():
            lines += ["", f"[fields.{name}]", f'kind = "{kind}']
        lines += [
            "",
            f"[events.{event}]",
            f'subject = "{subject}"',
            f'day = "{day}"',
            "",
            f"[events.{event}.personal]",
            *self._personal,
            "",
            f"[events.{event}.plain]",
            *self._plain,
        ]
        if without:
            self._left_out.append(
                f"events without the subject, which go to quarantine: {without:,}"
            )
        if self._facts.unnamed:
            what = f"values whose names may be values themselves: {self._facts.unnamed:,}"
            self._left_out.append(what)
        if self._left_out:
            lines += ["", "# Left out:", *(f"# {each}." for each in self._left_out)]
        return "\n".join(lines) + "\n"
