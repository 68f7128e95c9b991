"""The document of a declaration: its canonical form, and the digest by which processes compare declarations.

docs/formats.md defines both. The document has every default written out, so that a comment, an order or
a default that is spelled makes no other digest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from vault_etl.crypto.digest import sha256
from vault_etl.declaration.model import (
    FORMAT,
    Declaration,
    DeclaredEvent,
    PersonalValue,
    PlainColumn,
    VaultField,
)


def document_of(declaration: Declaration) -> bytes:
    """Return the document: JSON (RFC 8785), with the keys of the file."""
    return json.dumps(
        {
            "format": FORMAT,
            "fields": {field.name: _field(field) for field in declaration.fields},
            "events": {event.name: _event(event) for event in declaration.events},
        },
        ensure_ascii=False,
        separators=(",", ":"),
        sort_keys=True,
    ).encode()


def digest_of(declaration: Declaration) -> bytes:
    """Return the digest: SHA-256 of the document, 32 bytes."""
    return sha256(document_of(declaration))


def _field(field: VaultField) -> Mapping[str, object]:
    kind = field.kind
    return {
        **dict(kind.options),
        "kind": kind.name,
        "version": kind.version,
        "retired": field.retired,
    }


def _event(event: DeclaredEvent) -> Mapping[str, object]:
    when = event.when and {"path": str(event.when.path), "equals": event.when.equals}
    return _given(
        subject=event.subject.name,
        day=event.day.name,
        queue=event.queue,
        when=when,
        retired=event.retired,
        personal={value.name: _personal(value) for value in event.personal},
        plain={column.name: _plain(column) for column in event.plain},
    )


def _personal(value: PersonalValue) -> Mapping[str, object]:
    return {
        "field": value.field.name,
        "path": str(value.path),
        "token": value.token,
        "derived": sorted(form.name for form in value.derived),
        "required": value.required,
        "retired": value.retired,
    }


def _plain(column: PlainColumn) -> Mapping[str, object]:
    return _given(
        type=column.type,
        path=str(column.path),
        max=column.max,
        numbers=column.numbers,
        moment=column.moment,
        required=column.required,
        retired=column.retired,
    )


def _given(**members: object) -> Mapping[str, object]:
    """Return the members that have a value."""
    return {name: value for name, value in members.items() if value is not None}
