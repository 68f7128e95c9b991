"""Makes a kind from its name and options, as a declaration has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from vault_etl.kinds.digits import MAX_DIGITS, digits_kind
from vault_etl.kinds.email_address import EMAIL
from vault_etl.kinds.ip import IP
from vault_etl.kinds.kind import Kind
from vault_etl.kinds.phone import phone_kind
from vault_etl.kinds.text import text_kind
from vault_etl.kinds.uuid_text import UUID

OPTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "ip": (),
    "text": ("max",),
    "email": (),
    "phone": ("region",),
    "uuid": (),
    "digits": ("min", "max"),
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
    return _MAKERS[name](options)


def _text(options: Mapping[str, object]) -> Kind:
    return text_kind(_whole(options, "max", 256, MAX_TEXT))


def _phone(options: Mapping[str, object]) -> Kind:
    region = options.get("region")
    if region is not None and not isinstance(region, str):
        message = "the option 'region' must be a text"
        raise ValueError(message)
    return phone_kind(region)


def _digits(options: Mapping[str, object]) -> Kind:
    fewest = _whole(options, "min", 1, MAX_DIGITS)
    most = _whole(options, "max", MAX_DIGITS, MAX_DIGITS)
    if fewest > most:
        message = "the option 'min' must not be greater than 'max'"
        raise ValueError(message)
    return digits_kind(fewest, most)


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, object]], Kind]]] = {
    "ip": lambda _: IP,
    "text": _text,
    "email": lambda _: EMAIL,
    "phone": _phone,
    "uuid": lambda _: UUID,
    "digits": _digits,
}


def _whole(options: Mapping[str, object], name: str, default: int, most: int) -> int:
    """Return the option as a whole number from 1 to `most`."""
    value = options.get(name, default)
    if type(value) is not int or not 1 <= value <= most:  # True is an int
        message = f"the option {name!r} must be a whole number from 1 to {most}"
        raise ValueError(message)
    return value


def _listed(names: Mapping[str, object] | tuple[str, ...]) -> str:
    return ", ".join(names)
