"""Lines of keys, for any spelling of a TOML document."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Final

from hypothesis import given
from hypothesis import strategies as st

from vault_etl.declaration.key_lines import KeyPath, key_lines

VALUES: Final = (
    "1",
    "-1.5e3",
    "true",
    "1979-05-27 07:32:00",
    '"text"',
    '"# ] } \\" ="',
    "'# ] } \" ='",
    '""""""',
    '"""\nname = 1\n[table]\n"""',
    '"""a ""b\\""""""',
    "'''\n[table] # ''\nx = {y = 1}\n'''",
    "[]",
    '[1, "]", [2], {name = "]"}]',
    '[\n  1, # ]\n  "#",\n]',
)
NEXT_TO: Final = ("", "\n", "# [table]\n", "\r\n", "  \t\n", '# """\n')


class Spelling:
    """Writes a document in a random style, and notes the line of each key."""

    def __init__(self, data: st.DataObject, tree: Mapping[str, object]) -> None:
        self._data = data
        self.text = ""
        self.lines: dict[KeyPath, int] = {}
        self._table((), tree)

    def _one_of(self, *choices: str) -> str:
        return self._data.draw(st.sampled_from(choices))

    def _name(self, name: str) -> str:
        spellings = [json.dumps(name)]  # TOML has JSON's escapes
        if re.fullmatch(r"[A-Za-z0-9_-]+", name):
            spellings.append(name)
        if "'" not in name and "\n" not in name:
            spellings.append(f"'{name}'")
        return self._one_of(*spellings)

    def _dotted(self, key: KeyPath) -> str:
        return self._one_of(".", " . ", "\t.").join(map(self._name, key))

    def _note(self, *keys: KeyPath) -> None:
        for key in keys:
            self.lines.setdefault(key, self.text.count("\n") + 1)

    def _table(self, table: KeyPath, tree: Mapping[str, object]) -> None:
        """Write the values of a table, and then the tables that have headers."""
        with_headers: list[tuple[KeyPath, Mapping[str, object]]] = []
        for name, value in tree.items():
            if isinstance(value, Mapping) and self._one_of("header", "here") == "header":
                with_headers.append(((*table, name), value))
            else:
                self.text += self._one_of(*NEXT_TO)
                self._pair(table, (name,), value)
        for key, value in with_headers:
            self.text += self._one_of(*NEXT_TO)
            self._note(key)
            self.text += f"[{self._dotted(key)}]{self._one_of('', ' # [x]')}\n"
            self._table(key, value)

    def _pair(self, table: KeyPath, key: KeyPath, value: object) -> None:
        """Write a value, an inline table, or a table as dotted keys, a line each."""
        if isinstance(value, Mapping) and value and self._one_of("dotted", "inline") == "dotted":
            for name, inner in value.items():
                self._pair(table, (*key, name), inner)
            return
        self._note(*((*table, *key[:size]) for size in range(1, len(key) + 1)))
        self.text += f"{self._dotted(key)} = "
        self._value((*table, *key), value)
        self.text += self._one_of("\n", " # a = {\n", "\r\n")

    def _value(self, key: KeyPath, value: object) -> None:
        if not isinstance(value, Mapping):
            self.text += str(value)
            return
        self.text += "{ "
        for index, (name, inner) in enumerate(value.items()):
            self.text += ", " if index else ""
            self._note((*key, name))
            self.text += f"{self._name(name)} = "
            self._value((*key, name), inner)
        self.text += "}"


names = st.text(st.sampled_from("ab-_ .\"'#=[]{}é\n\\"), max_size=4)
trees = st.recursive(
    st.sampled_from(VALUES),
    lambda inner: st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
).filter(lambda tree: isinstance(tree, dict))


def values_of(tree: object) -> object:
    """The values that the document has."""
    if isinstance(tree, Mapping):
        return {name: values_of(inner) for name, inner in tree.items()}
    return tomllib.loads(f"value = {tree}")["value"]


@given(st.data(), trees)
def test_each_key_has_its_line(data: st.DataObject, tree: dict[str, object]) -> None:
    """Headers, dotted keys, inline tables and quoted keys all have the line on which they are written."""
    spelling = Spelling(data, tree)
    assert tomllib.loads(spelling.text) == values_of(tree)
    assert key_lines(spelling.text) == spelling.lines


def test_a_table_has_the_line_of_its_own_header() -> None:
    """A header counts, even after a longer one; without a header, the first longer key counts."""
    lines = key_lines("[a.b.c]\n[x]\n[a.b]\n[[many]]\nx = 1\n[[many]]\nx = 1\n")
    assert lines["a",] == 1
    assert lines["a", "b"] == 3
    assert lines["many",] == 4
    assert lines["many", "x"] == 5
