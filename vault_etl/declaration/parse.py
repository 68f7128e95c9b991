"""Parses a declaration, strictly: an unknown key, a wrong type or a broken rule is a fault with its line."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from typing import Final

from vault_etl.crypto.fields import FieldName
from vault_etl.declaration.faults import (
    DeclarationFault,
    Faults,
    FaultyDeclarationError,
    TableReader,
)
from vault_etl.declaration.key_lines import KeyPath, key_lines
from vault_etl.declaration.model import FORMAT, Declaration, VaultField
from vault_etl.declaration.names import is_reserved_field
from vault_etl.declaration.order import in_order
from vault_etl.declaration.parse_events import EventReader
from vault_etl.declaration.rules import check
from vault_etl.kinds.kind import Kind
from vault_etl.kinds.make import OPTIONS, make_kind

MAX_BYTES: Final = 1 << 20
"""The largest file: 16 events with 80 values each, at 800 bytes a value."""

_TOML: Final = "text is in quotes, a table {…} is on one line, true and false are in small letters: https://toml.io"
_AT_LINE: Final = re.compile(r" \(at line ([0-9]+), column [0-9]+\)")
_AT_END: Final = " (at end of document)"


def parse_declaration(content: bytes, name: str) -> Declaration:
    """Return the declaration in the content of a file, which messages call `name`.

    A byte order mark is left out. Raises FaultyDeclarationError with every fault, or with the first one if the content
    is not TOML.
    """
    if len(content) > MAX_BYTES:
        what = f"the file has more than {MAX_BYTES:,} bytes"
        raise _unreadable(name, 1, what, "name a declaration: vault-etl schema infer proposes one")
    try:
        text = content.decode("utf-8-sig")
        values = tomllib.loads(text)
        lines = key_lines(text)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _unreadable(name, line, "not UTF-8", "save the file as UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        message = str(error).splitlines()[0]
        at = _AT_LINE.search(message)
        line = int(at[1]) if at else content.count(b"\n") + 1
        what = f"not TOML: {_AT_LINE.sub('', message).removesuffix(_AT_END)}"
        raise _unreadable(name, line, what, _TOML) from None
    except RecursionError:
        raise _unreadable(name, 1, "not a declaration: nested too deep", _TOML) from None
    return declaration_of(values, lines, name)


def declaration_of(
    values: Mapping[str, object], lines: Mapping[KeyPath, int], name: str
) -> Declaration:
    """Return the declaration in the values of a document whose keys are on these lines.

    Raises FaultyDeclarationError.
    """
    faults = Faults(lines)
    top = TableReader(values, (), faults)
    version = top.need("format", int, f"write `format = {FORMAT}` at the top")
    if version not in {None, FORMAT}:
        top.fault("format", f"this release reads format {FORMAT}, and not {version}")
    fields, events = top.table("fields"), top.table("events")
    top.finish()
    by_name = {field: _field(field, table) for field, table in fields.named_tables()}
    reader = EventReader(by_name)
    declared = [reader.read(event, table) for event, table in events.named_tables()]
    declaration = Declaration(
        tuple(field for field in by_name.values() if field),
        tuple(event for event in declared if event),
    )
    if not faults.found:  # a fault of a key would cause others
        check(declaration, faults)
    if faults.found:
        raise FaultyDeclarationError(name, faults.found)
    return in_order(declaration)


def _unreadable(name: str, line: int, message: str, hint: str) -> FaultyDeclarationError:
    return FaultyDeclarationError(name, [DeclarationFault(line, "", message, hint)])


def _field(name: str, table: TableReader) -> VaultField | None:
    """Return the field; None if it has no kind."""
    if is_reserved_field(name):
        table.faults.add(table.where, f"no field can be called {name}", "the vault has its own")
    retired = table.get("retired", bool) or False
    kind = _kind(table)
    return None if kind is None else VaultField(FieldName(name), kind, retired)


def _kind(table: TableReader) -> Kind | None:
    kinds = f"the kinds are {', '.join(OPTIONS)}"
    name = table.need("kind", str, kinds)
    version = table.get("version", int)
    if name is None:
        return None
    if name not in OPTIONS:
        table.fault("kind", f"there is no kind {name}", kinds)
        return None
    given = {option: table.take(option) for option in OPTIONS[name]}
    options = {option: value for option, value in given.items() if value is not None}
    table.finish()
    try:
        kind = make_kind(name, options)
    except ValueError as error:
        table.fault(next(iter(options), "kind"), str(error))
        return None
    if version not in {None, kind.version}:
        hint = f"leave it out, or write version = {kind.version}"
        table.fault("version", f"this release has no version {version} of the kind {name}", hint)
    return kind
