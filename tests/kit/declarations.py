"""Declarations of tests: the default, and a second one that has what the default has not."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Final

import pytest

import vault_etl.declaration
import vault_etl.local
from vault_etl.declaration.document import digest_of
from vault_etl.declaration.model import Declaration, DeclaredEvent
from vault_etl.declaration.parse import parse_declaration
from vault_etl.declaration.read import read_declaration

DEFAULT: Final[Declaration] = read_declaration(None)

DEFAULT_TOML: Final = files(vault_etl.declaration).joinpath("default.toml").read_text("utf-8")

IN_FORCE: Final = f"'\\x{digest_of(DEFAULT).hex()}'"
"""The digest of the default, as SQL."""

SHOP_TOML: Final = files(vault_etl.local).joinpath("shop.toml").read_text("utf-8")
"""The two events of the demo's shop, which share the fields `ip` and `email`, and have values by path."""

TWO_EVENTS_TOML: Final = """\
format = 1

[fields.ip]
kind = "ip"

[fields.card]
kind = "text"
max = 40

[events.sign_ups]
subject = "person"
day = "day"
when = {path = "$.type", equals = "sign-up"}

[events.sign_ups.personal]
home_ip = {field = "ip", path = "$.client.ip", required = true}
office_ip = {field = "ip", path = "$.office['ip-address']"}
card = {token = "order"}

[events.sign_ups.plain]
person = {type = "text", max = 64, path = "$.client.user", required = true}
user = {type = "text", max = 16, numbers = "decimal"}
day = {type = "day", path = "$.at", moment = "at"}
age = {type = "integer"}
price = {type = "decimal"}
is_new = {type = "boolean", required = true}
born = {type = "day"}
since = {type = "moment"}

[events.orders]
subject = "buyer"
day = "day"
when = {path = "$.type", equals = "order"}

[events.orders.personal]
ip = {}

[events.orders.plain]
buyer = {type = "text", max = 64, required = true}
day = {type = "day"}
"""
"""Values by path, two of one field, optional ones, every type of plain column, and names that SQL must quote."""

_WIDER_TOML: Final = (
    DEFAULT_TOML.replace(
        "[events.user_logins] ", '[fields.email]\nkind = "email"\n\n[events.user_logins] '
    )
    .replace('token = "masked_ip"}', 'token = "masked_ip", derived = ["network"]}')
    .replace(
        "\n[events.user_logins.plain]",
        """home_ip = {field = "ip", path = "$.home.ip", derived = ["network"]}
email = {token = "order", derived = ["domain"]}

[events.user_logins.plain]
user = {type = "text", max = 16, path = "$.home.user"}
age = {type = "integer"}
price = {type = "decimal"}
is_new = {type = "boolean"}
since = {type = "moment"}""",
    )
)

WIDER: Final[Declaration] = parse_declaration(_WIDER_TOML.encode(), "wider.toml")
"""The login event with optional values, a second value of one field, derived forms, a value by path, and every type."""

TWO_EVENTS: Final[Declaration] = parse_declaration(TWO_EVENTS_TOML.encode(), "two-events.toml")

SHOP: Final[Declaration] = parse_declaration(SHOP_TOML.encode(), "shop.toml")

BOTH: Final = (pytest.param(DEFAULT, id="logins"), pytest.param(SHOP, id="shop"))
"""The declarations of a suite that takes seconds: one event, and two."""

BOTH_APART: Final = (BOTH[0], pytest.param(SHOP, id="shop", marks=pytest.mark.declared))
"""The declarations of a longer suite, whose second one `make test` leaves to `make test-all`."""


def widest_first(declaration: Declaration) -> list[DeclaredEvent]:
    """The events, the one with the most personal values first."""
    return sorted(declaration.events, key=lambda event: -len(event.personal))


def each_apart(values: Mapping[Declaration, Iterable[object]]) -> list[object]:
    """Each declaration of a longer suite with each of its values."""
    return [
        pytest.param(each, value, id=f"shop-{value}", marks=pytest.mark.declared)
        if each is SHOP
        else pytest.param(each, value, id=f"logins-{value}")
        for each, its in values.items()
        for value in its
    ]


EVERY_FIELD: Final[Declaration] = dataclasses.replace(
    DEFAULT,
    fields=tuple(
        {
            field.name: field
            for declaration in (SHOP, TWO_EVENTS, WIDER, DEFAULT)
            for field in declaration.fields
        }.values()
    ),
)
"""The fields of all of them, which the roles of the tests' emulator may seal and open."""
