"""Faults of a declaration, each with its line, and the strict reader of tables that finds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

from vault_etl.base.errors import DataError
from vault_etl.declaration.key_lines import KeyPath
from vault_etl.declaration.names import NAME, NAME_WORDS

_T = TypeVar("_T")

_WORDS: Final[Mapping[type, str]] = {
    str: 'text in quotes, such as "ip"',
    int: "a whole number",
    bool: "true or false",
    list: 'a list of texts, such as ["network"]',
    dict: "a table, such as {required = true}",
}


@dataclass(frozen=True, slots=True, order=True)
class DeclarationFault:
    """One fault of a declaration: its line from 1, the key, such as `fields.ip.kind`, and what to do."""

    line: int
    where: str
    message: str
    hint: str


class FaultyDeclarationError(DataError):
    """A declaration with faults. The message has the first one; `faults` has all, in the order of their lines."""

    word = "a faulty declaration"

    def __init__(self, name: str, faults: Iterable[DeclarationFault]) -> None:
        self.faults = tuple(sorted(faults))
        first, more = self.faults[0], len(self.faults) - 1
        others = f" (and {more} more: vault-etl schema check)" if more else ""
        super().__init__(f"{name}:{first.line}: {first.message}{others}", hint=first.hint)


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults that were found so far. `lines` has the lines of the keys."""

    lines: Mapping[KeyPath, int]
    found: list[DeclarationFault] = field(default_factory=list)

    def add(self, where: KeyPath, message: str, hint: str) -> None:
        """Add a fault at the line of the key; of a key that is missing, at the line of its table."""
        known = (where[:size] for size in range(len(where), 0, -1))
        line = next((self.lines[key] for key in known if key in self.lines), 1)
        self.found.append(DeclarationFault(line, dotted(where), message, hint))


def dotted(where: KeyPath) -> str:
    """Return the key as TOML spells it."""
    return ".".join(
        name if name and name.isascii() and name.replace("-", "_").isidentifier() else f'"{name}"'
        for name in where
    )


class TableReader:
    """Reads the keys of one table. Every fault is added to `faults`, and the reader continues."""

    def __init__(self, values: Mapping[str, object], where: KeyPath, faults: Faults) -> None:
        self._values = values
        self._read: list[str] = []
        self.where = where
        self.faults = faults

    def get(self, key: str, kind: type[_T]) -> _T | None:
        """Return the value; None if it is missing, or of another type."""
        value = self.take(key)
        if value is None or type(value) is kind:  # True is an int
            return value
        self.fault(key, f"{dotted((*self.where, key))} must be {_WORDS[kind]}")
        return None

    def need(self, key: str, kind: type[_T], hint: str) -> _T | None:
        """Return the value as `get` does. A missing value is a fault."""
        if key not in self._values:
            self._read.append(key)
            where = f"[{dotted(self.where)}]" if self.where else "the file"
            self.fault(key, f"{where} has no {key}", hint)
            return None
        return self.get(key, kind)

    def table(self, key: str) -> TableReader:
        """Return the reader of a table; of an empty one, if the table is missing."""
        return TableReader(self.get(key, dict) or {}, (*self.where, key), self.faults)

    def named_tables(self) -> Iterator[tuple[str, TableReader]]:
        """Return a reader for each entry of this table, under its name, which has the form of a name."""
        for name, values in self._values.items():
            if not NAME.fullmatch(name):
                what = f"{dotted((*self.where, name))} is not a name"
                self.fault(name, what, f"a name has {NAME_WORDS}")
            elif not isinstance(values, dict):
                self.fault(name, f"{dotted((*self.where, name))} must be {_WORDS[dict]}")
            else:
                yield name, TableReader(values, (*self.where, name), self.faults)

    def take(self, key: str) -> object:
        """Return the value, of any type; None if it is missing."""
        self._read.append(key)
        return self._values.get(key)

    def finish(self) -> None:
        """Add a fault for each key that was not read: an unknown one."""
        keys = f"the keys are {', '.join(self._read)}"
        for key in self._values:
            if key not in self._read:
                self.fault(key, f"{dotted((*self.where, key))} is not a key", keys)

    def fault(self, key: str, message: str, hint: str = "docs/declaration.md has each key") -> None:
        """Add a fault at the line of this key."""
        self.faults.add((*self.where, key), message, hint)
