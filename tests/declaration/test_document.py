"""The document of a declaration and its digest: equal for equal declarations, and for no others."""

from __future__ import annotations

import json

import pytest

from tests.declaration.good_declaration import DAY, FIELD, GOOD, IP, SECOND, changed
from tests.kit.format_examples import _bytes, _text
from vault_etl.declaration.document import digest_of, document_of
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.parse import declaration_of, parse_declaration
from vault_etl.declaration.read import read_declaration


def declared(text: str) -> Declaration:
    """The declaration of a text."""
    return parse_declaration(text.encode(), "test.toml")


def test_the_document_of_the_page() -> None:
    """The document of the default and its digest are the vector of docs/formats.md."""
    default = read_declaration(None)
    assert document_of(default).decode() == _text("declaration", "document")
    assert digest_of(default) == _bytes("declaration", "sha256")


RICH = changed('day = "day"', 'day = "day"\nqueue = "a.fifo"').replace(
    IP, 'ip = {path = "$.client[\'ip-v4\']", token = "address"}'
) + SECOND.replace(
    "[events.signups]",
    "[events.signups]\nqueue = 'b'\nwhen = {path = '$.type', equals = 'sign \"up\" é'}",
)


@pytest.mark.parametrize("text", [GOOD, RICH], ids=["small", "rich"])
def test_a_document_is_a_declaration(text: str) -> None:
    """A document has the keys of the file: reading it returns the declaration."""
    declaration = declared(text)
    document = document_of(declaration)
    again = declaration_of(json.loads(document), {}, "document")
    assert digest_of(again) == digest_of(declaration)
    assert {event.name for event in again.events} == {event.name for event in declaration.events}
    assert (
        document
        == json.dumps(
            json.loads(document), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        ).encode()
    )


SAME = {
    "a comment": f"# a comment\n{GOOD}",
    "an order": f"{GOOD.replace(FIELD, '')}{FIELD}\n",
    "a default field": changed(IP, 'ip = {required = true, field = "ip"}'),
    "a default path": changed(IP, "ip = {required = true, path = \"$['ip']\"}"),
    "a default token": changed(IP, 'ip = {required = true, token = "masked_ip"}'),
    "a default version": changed(FIELD, f"{FIELD}\nversion = 1"),
    "a default flag": changed(DAY, 'day = {type = "day", required = false, retired = false}'),
    "no derived form": changed(IP, "ip = {required = true, derived = []}"),
    "dotted keys": changed(IP, "ip.required = true"),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_what_says_the_same_has_the_same_digest(text: str) -> None:
    """A comment, an order or a default that is spelled changes nothing."""
    assert text != GOOD
    assert digest_of(declared(text)) == digest_of(declared(GOOD))


OTHER = {
    "a kind": changed(FIELD, '[fields.ip]\nkind = "text"'),
    "an option": changed(FIELD, '[fields.ip]\nkind = "text"\nmax = 9'),
    "a field": changed(FIELD, f'{FIELD}\n[fields.id]\nkind = "text"'),
    "a requirement": changed(IP, "ip = {}"),
    "a path": changed(IP, 'ip = {required = true, path = "$.client.ip"}'),
    "a derived form": changed(IP, 'ip = {required = true, derived = ["network"]}'),
    "a token": changed(IP, 'ip = {required = true, token = "masked_address"}'),
    "a limit": changed("max = 64", "max = 65"),
    "numbers": changed("max = 64", 'max = 64, numbers = "whole"'),
    "a moment": changed(DAY, 'day = {type = "day", moment = "at"}'),
    "a queue": changed('day = "day"', 'day = "day"\nqueue = "a"'),
    "a discriminator": changed('day = "day"', 'day = "day"\nwhen = {path = "$.a", equals = "b"}'),
    "a column": f'{GOOD}os = {{type = "integer"}}',
    "a type": f'{GOOD}os = {{type = "decimal"}}',
    "a retirement": f'{GOOD}os = {{type = "decimal", retired = true}}',
}


def test_what_says_something_else_has_another_digest() -> None:
    """Every fact of a declaration is in its document."""
    digests = [digest_of(declared(text)) for text in (GOOD, *OTHER.values())]
    assert len(set(digests)) == len(digests)
