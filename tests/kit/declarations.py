"""Declarations of tests: the default, and a second one that has what the default has not."""

from __future__ import annotations

import dataclasses
from importlib.resources import files
from typing import Final

import vault_etl.declaration
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.parse import parse_declaration
from vault_etl.declaration.read import read_declaration

DEFAULT: Final[Declaration] = read_declaration(None)

SHOP_TOML: Final = b"""\
format = 1

[fields.ip]
kind = "ip"

[fields.email]
kind = "email"

[fields.phone]
kind = "phone"
region = "CH"

[events.sign_ups]
subject = "person"
day = "day"
when = {path = "$.type", equals = "sign-up"}

[events.sign_ups.personal]
email = {required = true, path = "$.person.email"}
phone = {path = "$.person.phone"}
ip = {required = true, path = "$.client.ip"}

[events.sign_ups.plain]
person = {type = "text", max = 64, path = "$.person.id", required = true}
day = {type = "day", path = "$.at", moment = "at"}

[events.orders]
subject = "buyer"
day = "day"
when = {path = "$.type", equals = "order"}

[events.orders.personal]
ip = {required = true, path = "$.client.ip"}
email = {}

[events.orders.plain]
buyer = {type = "text", max = 64, required = true}
day = {type = "day"}
price = {type = "decimal"}
"""
"""Two events of a shop, which share the fields `ip` and `email`."""

TWO_EVENTS_TOML: Final = b"""\
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

WIDER: Final[Declaration] = parse_declaration(
    files(vault_etl.declaration)
    .joinpath("default.toml")
    .read_bytes()
    .replace(b"[events.user_logins] ", b'[fields.email]\nkind = "email"\n\n[events.user_logins] ')
    .replace(b'token = "masked_ip"}', b'token = "masked_ip", derived = ["network"]}')
    .replace(
        b"\n[events.user_logins.plain]",
        b"""home_ip = {field = "ip", path = "$.home.ip", derived = ["network"]}
email = {token = "order", derived = ["domain"]}

[events.user_logins.plain]
user = {type = "text", max = 16, path = "$.home.user"}
age = {type = "integer"}
price = {type = "decimal"}
is_new = {type = "boolean"}
since = {type = "moment"}""",
    ),
    "wider.toml",
)
"""The login event with optional values, a second value of one field, derived forms, a value by path, and every type."""

TWO_EVENTS: Final[Declaration] = parse_declaration(TWO_EVENTS_TOML, "two-events.toml")

SHOP: Final[Declaration] = parse_declaration(SHOP_TOML, "shop.toml")

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
