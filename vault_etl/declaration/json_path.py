"""Paths to a value in a message: a subset of JSONPath (RFC 9535) that names at most one value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAX_NAMES: Final = 8
"""Names in one path. A body has at most 64 brackets, and no sender nests a value as deep as eight."""

MAX_TEXT: Final = 256
"""Code points of a path as it is written. A row of the quarantine has room for it."""

_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_STEP: Final = re.compile(rf"\.({_PLAIN.pattern})|\['([^'\\\x00-\x1f\ud800-\udfff]{{1,128}})'\]")


@dataclass(frozen=True, slots=True)
class JsonPath:
    """The names from the top of a message to one value: `$.client.ip` is `("client", "ip")`."""

    names: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> JsonPath:
        """Read `$.client.ip` or `$['client-ip'].v4`. Raises ValueError for every other form."""
        at, names = 1, list[str]()
        while step := _STEP.match(text, at):
            names.append(step[1] or step[2])
            at = step.end()
        if (
            len(text) > MAX_TEXT
            or text[:1] != "$"
            or at != len(text)
            or not 1 <= len(names) <= MAX_NAMES
        ):
            message = "not a path to one value"
            raise ValueError(message)
        return cls(tuple(names))

    def __str__(self) -> str:
        """Return the shortest spelling."""
        steps = (f".{name}" if _PLAIN.fullmatch(name) else f"['{name}']" for name in self.names)
        return f"${''.join(steps)}"

    def is_within(self, other: JsonPath) -> bool:
        """Tell whether the value at this path is the value at `other`, or a part of it."""
        return self.names[: len(other.names)] == other.names

    def find(self, message: Mapping[str, object]) -> object:
        """Return the value at this path; None if the message has no such value."""
        value: object = message
        for name in self.names:
            if not isinstance(value, Mapping):
                return None
            value = value.get(name)
        return value
