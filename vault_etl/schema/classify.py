"""Guesses of how to store the values at a path: personal or plain, of which kind or type, and how sure that is.

A guess that is not sure keeps the value personal, since a token can be made plain by a person, and text that was
stored in clear was stored in clear.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from vault_etl.declaration.model import Numbers, PlainType
from vault_etl.declaration.parse_events import MAX_PLAIN
from vault_etl.declaration.rules import MAX_SUBJECT
from vault_etl.kinds.make import MAX_TEXT
from vault_etl.schema.path_facts import MAX_DISTINCT, PathFacts

_MOST: Final = 0.95
"""The share of values that decides."""

_SOME: Final = 0.05
"""The share of values that is worth a word."""

_RECOGNISED: Final[Mapping[str, str]] = {
    "ip": "addresses",
    "uuid": "UUIDs",
    "email": "e-mail addresses",
    "phone": "telephone numbers",
}
"""The kinds whose values have a form of their own, and the word for them. The first that fits is taken."""

_FEWEST_DIGITS: Final = 8
"""Shorter numbers are counts, sizes and versions."""

_FEW: Final = 50
"""Distinct texts of a value that has names, such as a country or a type of device."""

_LONG_NAME: Final = 64
_INTEGER_DIGITS: Final = 18

_PERSON: Final = re.compile(
    r"(?:^|_)(?:user|customer|account|person|member|patient|client|subscriber|owner|employee|student|player|profile)"
    r"_?(?:id|uuid|guid|key|number|no)$|^(?:uid|sub|subject)$"
)


@dataclass(frozen=True, slots=True)
class Guess:
    """A way to store a value. `words` say why; `is_sure` is False if a person has to decide."""

    words: str
    is_sure: bool = True


@dataclass(frozen=True, slots=True)
class PersonalGuess(Guess):
    """A personal value of a kind. `max` is an option of the kind `text`."""

    kind: str = "text"
    max: int | None = None


@dataclass(frozen=True, slots=True)
class PlainGuess(Guess):
    """A plain column of a type."""

    type: PlainType = PlainType.TEXT
    max: int | None = None
    numbers: Numbers | None = None


@dataclass(frozen=True, slots=True)
class LeftOut(Guess):
    """A value that no column can take."""


def guess(facts: PathFacts) -> Guess:
    """Guess how to store the values of this path."""
    return next(filter(None, _guesses(facts)))


def may_be_subject(facts: PathFacts) -> bool:
    """Tell whether texts or whole numbers are here that may be stored in clear as a person's id."""
    found = guess(facts)
    has_form = isinstance(found, PersonalGuess) and found.kind in _RECOGNISED.keys() - {"uuid"}
    has_ids = facts.texts + facts.wholes >= _MOST * facts.present > 0 and not facts.containers
    return has_ids and not has_form and not is_day(facts) and facts.longest <= MAX_SUBJECT


def is_in_most(facts: PathFacts, events: int) -> bool:
    """Tell whether nearly all of so many events have a value here."""
    return facts.present >= _MOST * events


def names_a_person(facts: PathFacts) -> bool:
    """Tell whether the path is named as a person's id is, such as `user_id`, `user.id` or `accountNumber`."""
    last = "_".join(snake(name) for name in facts.path.names[-2:])
    return _PERSON.search(last) is not None


def is_day(facts: PathFacts) -> bool:
    """Tell whether the values are days or moments."""
    return facts.texts > 0 and facts.days + facts.moments >= _MOST * facts.values


def subject_of(facts: PathFacts) -> PlainGuess:
    """Return the plain text that a subject is."""
    numbers = Numbers.WHOLE if facts.wholes else None
    return PlainGuess("The id of the person", max=_room(facts, MAX_SUBJECT), numbers=numbers)


def snake(name: str) -> str:
    """Return `client_ip` for `clientIp`, `client-ip` and `Client.IP`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")


def _guesses(facts: PathFacts) -> Iterator[Guess | None]:
    yield _of_no_value(facts)
    if is_day(facts):
        only_moments = not facts.days and facts.moments == facts.texts
        yield PlainGuess(
            "All are moments" if only_moments else "All are days or moments",
            type=PlainType.MOMENT if only_moments else PlainType.DAY,
        )
    yield from (_of_kind(facts, kind) for kind in _RECOGNISED)
    yield _of_digits(facts)
    yield _of_numbers(facts)
    if facts.longest > min(MAX_PLAIN, MAX_TEXT):
        yield LeftOut(f"texts of up to {facts.longest:,} characters", is_sure=False)
    yield _of_names(facts)
    mixed = _mixed(facts)
    words = f"{mixed}, and others are not" if mixed else "The texts differ"
    yield PersonalGuess(words, is_sure=False, max=_room(facts, MAX_TEXT))


def _of_no_value(facts: PathFacts) -> Guess | None:
    if facts.containers:
        what = "lists" if facts.lists else "objects"
        return LeftOut(f"{what} and other values" if facts.present else what)
    if facts.unzoned > _SOME * facts.values:
        return LeftOut("times without a zone, which have no meaning: let the sender add it")
    if facts.booleans:
        if facts.booleans == facts.present:
            return PlainGuess("All are true or false", type=PlainType.BOOLEAN)
        return LeftOut("true or false, and other values")
    return LeftOut("no values") if not facts.values else None


def _of_kind(facts: PathFacts, kind: str) -> Guess | None:
    share = facts.kinds[kind] / facts.values
    if share < _MOST:
        return None
    return PersonalGuess(f"{_percent(share)} {_RECOGNISED[kind]}", share == 1, kind)


def _of_digits(facts: PathFacts) -> Guess | None:
    if facts.kinds["digits"] < _MOST * facts.values or facts.shortest < _FEWEST_DIGITS:
        return None
    words = "Numbers such as those of cards, accounts, persons and telephones (kind phone, with a region)"
    return PersonalGuess(words, is_sure=False, kind="digits")


def _of_numbers(facts: PathFacts) -> Guess | None:
    if facts.texts:
        return None
    if facts.decimals or facts.longest > _INTEGER_DIGITS:
        return PlainGuess("All are numbers", type=PlainType.DECIMAL)
    return PlainGuess("All are whole numbers", type=PlainType.INTEGER)


def _of_names(facts: PathFacts) -> Guess | None:
    """Guess plain text for few short texts that repeat."""
    few = facts.distinct <= min(_FEW, facts.values / 2, MAX_DISTINCT - 1)
    if not few or facts.longest > _LONG_NAME or _mixed(facts):
        return None
    numbers = Numbers.DECIMAL if facts.decimals else Numbers.WHOLE if facts.wholes else None
    words = f"{facts.distinct} different text{'' if facts.distinct == 1 else 's'}"
    return PlainGuess(words, max=_room(facts, MAX_PLAIN), numbers=numbers)


def _mixed(facts: PathFacts) -> str:
    """Return words for values of a kind that are a part of the values; empty if there are none."""
    shares = {kind: facts.kinds[kind] / facts.values for kind in _RECOGNISED}
    kind = max(shares, key=lambda kind: shares[kind])
    return f"{_percent(shares[kind])} {_RECOGNISED[kind]}" if shares[kind] >= _SOME else ""


def _percent(share: float) -> str:
    return "All are" if share == 1 else f"{int(share * 100)} % are"


def _room(facts: PathFacts, most: int) -> int:
    """Return a limit that leaves room: a power of two, twice the longest text at least."""
    return min(most, 1 << max(5, (2 * facts.longest - 1).bit_length()))
