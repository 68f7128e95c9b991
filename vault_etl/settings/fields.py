"""Declares a setting: its type, its bounds, its default and its words; and makes its value from text or TOML."""

from __future__ import annotations

import dataclasses
import functools
import re
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args, get_origin

from typing_extensions import override

from vault_etl.base import text as expected

_KEY: Final = "setting"
_TRUE: Final = frozenset({"1", "on", "t", "true", "y", "yes"})
_FALSE: Final = frozenset({"0", "off", "f", "false", "n", "no"})


class Secret:
    """A text that no repr shows."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def expose(self) -> str:
        """Return the text."""
        return self._text

    @override
    def __repr__(self) -> str:
        return "Secret(…)"

    @override
    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self._text == other._text

    @override
    def __hash__(self) -> int:
        return hash(self._text)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingSpec:
    """The type, the bounds, the default and the words of a setting.

    A text is not empty, has no white space around it, and no hidden character unless it is secret.
    """

    default: object
    description: str
    example: str | None = None
    """A value for error messages, where bounds do not say enough."""
    pattern: str | None = None
    """Python's regular expression, which a whole text matches, and each word of a list."""
    refused: Collection[str] = ()
    """Texts that are refused."""
    ge: float | None = None
    gt: float | None = None
    le: float | None = None
    kind: Any = None
    """The annotation without None."""

    def parse(self, value: object) -> object:
        """Return the value of the setting. Raises ValueError for a malformed one, without its text."""
        if get_origin(self.kind) is Literal:
            return _require(value in get_args(self.kind), value)
        if get_origin(self.kind) is tuple:
            words = _words(value)
            return _require(all(map(self._is_well_formed, words)), words)
        if self.kind is bool:
            return _flag(value)
        if self.kind in {int, float}:
            return self._number(value)
        text = str(_require(isinstance(value, str) and value and value == value.strip(), value))
        if self.kind is Secret:
            return Secret(text)
        return _require(text not in self.refused and self._is_well_formed(text), text)

    def _is_well_formed(self, text: str) -> bool:
        is_hidden = expected.HIDDEN.search(text) is not None
        return not is_hidden and (self.pattern is None or bool(re.fullmatch(self.pattern, text)))

    def _number(self, value: object) -> float:
        _require(type(value) in {int, self.kind, str}, None)  # True is an int
        return expected.number_of(
            self.kind, str(value), at_least=self.ge, at_most=self.le, above=self.gt
        )


def setting(default: Any, description: str, **spec: Any) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a setting in a dataclass, with the members of `SettingSpec`."""
    info = SettingSpec(default=default, description=description, **spec)
    return dataclasses.field(default=default, metadata={_KEY: info})


@functools.cache
def specs_of(settings: type) -> Mapping[str, SettingSpec]:
    """Return the settings of a dataclass by their names, each with its type."""
    kinds = typing.get_type_hints(settings)
    return {
        field.name: dataclasses.replace(field.metadata[_KEY], kind=_without_none(kinds[field.name]))
        for field in dataclasses.fields(settings)
        if _KEY in field.metadata
    }


def _without_none(kind: Any) -> Any:  # noqa: ANN401 - an annotation
    if get_origin(kind) in {Literal, tuple}:
        return kind
    kinds: Sequence[Any] = [inner for inner in get_args(kind) if inner is not type(None)]
    return kinds[0] if kinds else kind


def _require(holds: object, value: object) -> object:
    if not holds:
        raise ValueError
    return value


def _flag(value: object) -> bool:
    """Return a boolean of TOML, or a word of the environment."""
    word = str(value).lower() if isinstance(value, bool | int | str) else ""
    _require(word in _TRUE | _FALSE, None)
    return word in _TRUE


def _words(value: object) -> tuple[str, ...]:
    """Return a list of TOML, or a list with commas of the environment."""
    given = value.split(",") if isinstance(value, str) else value
    _require(isinstance(given, list) and all(isinstance(word, str) for word in given), None)
    words = tuple(str(word).strip() for word in typing.cast("list[object]", given))
    _require(all(words), None)
    return words
