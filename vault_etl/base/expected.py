"""What a setting or an option takes, in words: the same for both, and never the value that was given."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from enum import Enum
from typing import Final

_EXAMPLES: Final[dict[object, str]] = {
    uuid.UUID: "an id such as 01a1fc29-ca31-7f16-a77c-58d57c39a400",
    dt.datetime: "a day or a time such as 2026-01-31 or 2026-01-31T12:00:00Z",
    bool: "true or false",
}


def number(
    kind: type, *, at_least: float | None, at_most: float | None, above: float | None = None
) -> str:
    """A number of this kind (int or float) and its bounds."""
    what = "a whole number" if kind is int else "a number"
    low = None if at_least is None else f"{at_least:,}" if kind is int else f"{at_least:g}"
    high = None if at_most is None else f"{at_most:,}" if kind is int else f"{at_most:g}"
    if above is not None:
        low = f"above {above:g}"
        return f"{what} {low}" if high is None else f"{what} {low}, {high} at most"
    if low is not None and high is not None:
        return f"{what} from {low} to {high}"
    if low is not None:
        return f"{what} of {low} or more"
    return what if high is None else f"{what} of {high} at most"


def one_of(choices: Iterable[object]) -> str:
    """One of these words."""
    words = [str(choice.value if isinstance(choice, Enum) else choice) for choice in choices]
    return " or ".join(words) if len(words) <= 2 else f"one of {', '.join(words)}"  # noqa: PLR2004


def such_as(kind: object) -> str:
    """A value of this type, by an example where it has one."""
    return _EXAMPLES.get(kind, "another value")
