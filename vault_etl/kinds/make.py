"""Makes a kind from its name and options, as a declaration has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vault_etl.kinds.ip import IP
from vault_etl.kinds.kind import Kind
from vault_etl.kinds.text import text_kind

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "ip": (),
    "text": ("max",),
}
"""The kinds, and the options of each."""

MAX_TEXT: Final = 4_096
"""The highest `max` of a text, in code points: longer text is a document, and no identifier."""


def make_kind(name: str, options: Mapping[str, object]) -> Kind:
    """Return the kind of this name. Raises ValueError, with a text for the author of the declaration."""
    if name not in OPTIONS:
        message = f"there is no kind {name!r}: the kinds are {_listed(OPTIONS)}"
        raise ValueError(message)
    for option in options:
        if option not in OPTIONS[name]:
            known = f"its options are {_listed(OPTIONS[name])}" if OPTIONS[name] else "it has none"
            message = f"the kind {name} has no option {option!r}: {known}"
            raise ValueError(message)
    if name == "text":
        return text_kind(_whole(options, "max", 256, MAX_TEXT))
    return IP


def _whole(options: Mapping[str, object], name: str, default: int, most: int) -> int:
    """Return the option as a whole number from 1 to `most`."""
    value = options.get(name, default)
    if type(value) is not int or not 1 <= value <= most:  # True is an int
        message = f"the option {name!r} must be a whole number from 1 to {most:,}"
        raise ValueError(message)
    return value


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
