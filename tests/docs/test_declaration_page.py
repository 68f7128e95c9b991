"""docs/declaration.md has every key, kind, option, type and limit of a declaration, and its example is valid."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.kit.pages import blocks
from vault_etl.declaration import rules
from vault_etl.declaration.changes import Effect
from vault_etl.declaration.faults import FaultyDeclarationError
from vault_etl.declaration.model import Numbers, PlainType
from vault_etl.declaration.names import is_reserved_column
from vault_etl.declaration.parse import parse_declaration
from vault_etl.declaration.parse_events import MAX_PLAIN
from vault_etl.kinds.make import OPTIONS

PAGE: Final = (Path(__file__).parents[2] / "docs" / "declaration.md").read_text(encoding="utf-8")
EXAMPLE: Final = blocks(PAGE, "toml")[0]


def section(heading: str) -> str:
    """The text under a heading."""
    return re.split(r"^## ", PAGE.split(f"## {heading}\n")[1], flags=re.MULTILINE)[0]


def rows(heading: str) -> dict[str, str]:
    """The rows of the tables under a heading: the first cell, without its marks, and the others."""
    tables = re.split(r"^\|.*\|\n\|[-|]+\|\n", section(heading), flags=re.MULTILINE)[1:]
    return dict(re.findall(r"^\| `?([\w ]+)`? \|(.*)\|$", "".join(tables), re.MULTILINE))


def test_the_example_is_a_declaration() -> None:
    """The first block of the page has no fault."""
    assert parse_declaration(EXAMPLE.encode(), "the page").event("user_logins").personal


@pytest.mark.parametrize(
    ("heading", "key"),
    [
        ("Fields", "fields.ip"),
        ("Events", "events.user_logins"),
        ("Personal values", "events.user_logins.personal.ip"),
        ("Plain columns", "events.user_logins.plain.user_id"),
    ],
)
def test_the_page_has_each_key(heading: str, key: str) -> None:
    """The reader's own list of the keys of a table is that of the page."""
    text = EXAMPLE.replace("ip = {required = true}", "ip.required = true").replace(
        'user_id = {type = "text", max = 128, required = true}',
        'user_id.type = "text"\nuser_id.max = 128\nuser_id.required = true',
    )
    tables: dict[str, str] = {
        "fields.ip": text.replace('kind = "ip"', 'kind = "ip"\nunknown = 1'),
        "events.user_logins": text.replace(
            "[events.user_logins]", "[events.user_logins]\nunknown = 1"
        ),
        "events.user_logins.personal.ip": text.replace(
            "ip.required", "ip.unknown = 1\nip.required"
        ),
        "events.user_logins.plain.user_id": text.replace(
            "user_id.max", "user_id.unknown = 1\nuser_id.max"
        ),
    }
    with pytest.raises(FaultyDeclarationError) as caught:
        parse_declaration(tables[key].encode(), "the page")
    assert f"{key}.unknown is not a key" in str(caught.value)
    keys = set((caught.value.hint or "").removeprefix("the keys are ").split(", "))
    moments = {"moment"} if heading == "Plain columns" else set()
    options = {"options of the kind"} if heading == "Fields" else set()
    types = {each.value for each in PlainType} if heading == "Plain columns" else set()
    assert rows(heading).keys() == keys | moments | options | types


def test_the_page_has_each_kind_with_its_options() -> None:
    """The table of kinds is that of the code."""
    kinds = rows("Kinds")
    assert kinds.keys() == OPTIONS.keys()
    for name, options in OPTIONS.items():
        assert set(re.findall(r"`([a-z]+)`", kinds[name])) == set(options)


def test_the_page_has_each_class_of_a_change() -> None:
    """The table of classes is that of the code."""
    assert rows("Changes").keys() == {effect.value for effect in Effect}


def test_the_page_has_each_limit_and_each_reserved_column() -> None:
    """The numbers of the page are those of the code."""
    limits = section("Limits")
    for limit, what in (
        (rules.MAX_FIELDS, "fields"),
        (rules.MAX_EVENTS, "events"),
        (rules.MAX_PERSONAL, "personal values of an event"),
        (rules.MAX_PLAIN_COLUMNS, "plain columns of an event"),
        (rules.MAX_SUBJECT, "characters of a subject"),
    ):
        assert f"| {limit} {what} |" in limits
    assert f"up to {MAX_PLAIN:,}" in section("Plain columns")
    assert all(f'`"{each.value}"`' in section("Plain columns") for each in Numbers)
    names = section("Names that are taken")
    columns = re.findall(r"`(\w+)`", names.split("\n- Events")[0])
    assert all(is_reserved_column(name) for name in columns if not name.endswith("_"))
    assert {"record_id", "token_generation", "ctid", "xmin", "xmax", "tableoid"} <= set(columns)
