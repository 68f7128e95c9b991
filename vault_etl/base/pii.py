"""Plaintext that must not leak by accident."""

from __future__ import annotations

from typing import Final, NoReturn, final

REDACTED: Final = "Pii(redacted)"


@final
class Pii:
    """A personal value on its way from the parser to the sealer, or from the opener to the reader.

    Formatting gives `Pii(redacted)`. Hashing, comparing by value, pickling, copying, JSON and psycopg2
    raise an error, so a leak by accident fails. `expose()` is the only way to the bytes, and easy to
    search for.
    """

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]  # a dict or set key would be an untracked copy

    def __init__(self, value: bytes) -> None:
        self._value = value

    @classmethod
    def of_text(cls, text: str) -> Pii:
        """Wrap `text` as its UTF-8 bytes. A lone surrogate has bytes too: an error of the codec has the text."""
        return cls(text.encode("utf-8", "surrogatepass"))

    def expose(self) -> bytes:
        """Return the plaintext, byte for byte."""
        return self._value

    def __repr__(self) -> str:
        return REDACTED

    __str__ = __repr__

    def __format__(self, format_spec: str) -> str:
        return REDACTED

    def __eq__(self, other: object) -> NoReturn:
        message = "personal values are not compared"
        raise TypeError(message)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        message = "personal values are not pickled or copied"
        raise TypeError(message)
