"""The document of a declaration and its digest: equal for equal declarations, and for no others."""

from __future__ import annotations

import json
import tomllib
from importlib.resources import files

import pytest

import vault_etl.declaration
from tests.declaration.good_declaration import DAY, FIELD, GOOD, IP, SECOND, changed
from tests.kit.declarations import SHOP, TWO_EVENTS, WIDER
from tests.kit.format_examples import _bytes, _text
from tests.kit.schemas import FOLDER
from vault_etl.declaration.document import digest_of, document_of
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.order import FIRST, order_of
from vault_etl.declaration.parse import declaration_of, parse_declaration
from vault_etl.declaration.read import DEFAULT_NAME, read_declaration
from vault_etl.schema.units import units_of


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
    assert again == declaration
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
    """A comment, an order or a default that is spelled changes nothing, neither the digest nor what is rendered."""
    assert text != GOOD
    assert digest_of(declared(text)) == digest_of(declared(GOOD))
    assert declared(text) == declared(GOOD)


def test_an_order_is_that_of_the_default_and_then_of_the_alphabet() -> None:
    """The names of the default come first, in the order of its file; so its tables stay as they are."""
    text = files(vault_etl.declaration).joinpath(DEFAULT_NAME).read_text(encoding="utf-8")
    (event,) = tomllib.loads(text)["events"].values()
    assert (*event["personal"], *event["plain"]) == FIRST
    names = [
        name for _, name in sorted(order_of(name) for name in ("zone", "ip", "age", "user_id"))
    ]
    assert names == ["ip", "user_id", "age", "zone"]


@pytest.mark.parametrize("declaration", [TWO_EVENTS, SHOP, WIDER], ids=["two", "shop", "wider"])
def test_the_document_of_a_declaration_renders_the_same_sql(declaration: Declaration) -> None:
    """What `doctor` and `schema apply` expect is what another order of the same file made."""
    document = json.loads(document_of(declaration))
    assert units_of(FOLDER, declaration_of(document, {}, "document")) == units_of(
        FOLDER, declaration
    )


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
