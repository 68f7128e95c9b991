"""A kind: the rules for the values of one field."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from vault_etl.base.pii import Pii

WHOLE_NUMBER: Final = re.compile(rb"-?[0-9]+")
"""The numbers of JSON that have one spelling: 4711.0 and 4.711e3 are other spellings of 4711."""


@dataclass(frozen=True, slots=True)
class DerivedForm:
    """A form that several values share, such as the network of an address. It has a token of its own.

    `canonical` makes its bytes from a sealed value, as `Kind.canonical` does. `value_of` returns a value that has the
    form which a text names, for a search: the text is a whole form, such as a network. It raises ValueError for any
    other text. `leaks` is one sentence: what a reader of these tokens learns without a key.
    """

    name: str
    leaks: str
    hint: str
    """The sentence that tells a person which texts a search takes."""
    canonical: Callable[[str], bytes] = field(compare=False, repr=False)
    value_of: Callable[[str], str] = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Kind:
    """The rules for the values of one field. Kinds of equal name, version and options are equal.

    A value is checked once, when it is new: `read` returns the text that is sealed, and may ask a library.
    `canonical` and `mask` take sealed text. They need the standard library alone, and never change for a
    version: the token of a stored value can be made again for as long as its row exists. All three raise
    ValueError, which does not hold the value.

    A field keeps its name and version for ever. Its options decide about new values only, and may change.
    """

    name: str
    version: int
    options: tuple[tuple[str, int | str], ...]
    max_code_points: int = field(compare=False)
    """The most code points of a value as it is sent. The caller checks this limit, before `read`."""
    reason: str = field(compare=False)
    """The reason code of a value that `read` refuses."""
    reason_too_long: str = field(compare=False)
    """The reason code of a value of more code points."""
    hint: str = field(compare=False)
    """The sentence that tells a person which values there are."""
    read: Callable[[str], tuple[str, bytes]] = field(compare=False, repr=False)
    """Return the text to seal, and its canonical form."""
    canonical: Callable[[str], bytes] = field(compare=False, repr=False)
    """Return the bytes that the token of a sealed text is made from."""
    mask: Callable[[str], str] = field(compare=False, repr=False)
    """Return the part of a sealed text that a reader of masked values sees: enough to compare, not to know."""
    numbers: re.Pattern[bytes] | None = field(default=None, compare=False, repr=False)
    """The numbers of JSON that count as their spelling. None: a number is refused."""
    placeholders: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """Texts that programs write when they have no value, in lower case. Their tokens are public."""
    derived: tuple[DerivedForm, ...] = field(default=(), compare=False, repr=False)
    """The derived forms that may be declared."""
    is_ascii: bool = field(default=False, compare=False, repr=False)
    """True if a sealed text has ASCII alone."""

    @property
    def max_bytes(self) -> int:
        """The most bytes of a sealed text. A database refuses longer ones."""
        return self.max_code_points * (1 if self.is_ascii else 4)

    def accept(self, text: str) -> str:
        """Return the text to seal. Raises ValueError as `read` does."""
        return self.read(text)[0]

    def held(self, value: Pii, form: DerivedForm | None = None) -> Pii:
        """Return the value as records hold it, for a search. Raises ValueError, without the value, if none can.

        Text that is refused today may have been sealed before: countries lengthen their telephone numbers, and a
        declaration may change lengths. For a search by a derived form, the text may also be the form itself.
        """
        if form is not None:
            with contextlib.suppress(ValueError):
                return self._of(form.value_of, value)
        return self._of(self._held, value)

    def _held(self, text: str) -> str:
        with contextlib.suppress(ValueError):
            return self.accept(text)
        self.canonical(text)
        return text

    def masked(self, value: Pii) -> Pii:
        """Return the mask of a sealed value. Raises ValueError, without the value, if the kind refuses it."""
        return self._of(self.mask, value)

    def _of(self, rule: Callable[[str], str], value: Pii) -> Pii:
        try:
            return Pii.of_text(rule(value.expose().decode()))
        except ValueError:
            message = f"not a value of the kind {self.name}"
            raise ValueError(message) from None
