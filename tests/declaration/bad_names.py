"""Bad names in declarations, each with `#!` on the line of its fault, and a part of the message."""

from __future__ import annotations

from typing import Final

from tests.declaration.good_declaration import (
    DAY,
    FIELD,
    GOOD,
    IP,
    changed,
    with_lines,
)

NAMES: Final[dict[str, tuple[str, str]]] = {
    # Names.
    "a field with a capital": (
        changed(FIELD, f"{FIELD}\n[fields.Mail] #!\nkind = 'ip'"),
        "is not a name",
    ),
    "a name of 32 characters": (
        changed(FIELD, f"{FIELD}\n[fields.{'a' * 32}] #!\nkind = 'ip'"),
        "is not a name",
    ),
    "a quoted name": (changed(IP, f'{IP}\n"e-mail" = {{field = "ip"}} #!'), "e-mail is not a name"),
    "a name with a line end": (
        changed(IP, f'{IP}\n"ip\\n" = {{field = "ip"}} #!'),
        "is not a name",
    ),
    "a token that is no name": (changed(IP, 'ip = {token = "Masked"} #!'), "Masked is not a name"),
    "a moment that is no name": (
        changed(DAY, 'day = {type = "day", moment = "a b"} #!'),
        "a b is not a name",
    ),
    "a field of the vault": (
        changed(FIELD, f"{FIELD}\n[fields.quarantine] #!\nkind = 'ip'"),
        "no field can be called quarantine",
    ),
    "the field of the source key": (
        changed(FIELD, f"{FIELD}\n[fields.source] #!\nkind = 'ip'"),
        "no field can be called source",
    ),
    "a table of the vault": (
        GOOD.replace("logins", "data_keys").replace("[events.data_keys]", "[events.data_keys] #!"),
        "no event can be called data_keys",
    ),
    "an index of a table of the vault": (
        GOOD.replace("logins", "quarantine_pkey").replace(
            "[events.quarantine_pkey]", "[events.quarantine_pkey] #!"
        ),
        "no event can be called quarantine_pkey",
    ),
    "a column of the vault": (
        with_lines('record_id = {type = "integer"} #!'),
        "no column can be called record_id",
    ),
    "a field called as the schema": (
        changed(FIELD, f"{FIELD}\n[fields.vault_etl] #!\nkind = 'ip'"),
        "no field can be called vault_etl",
    ),
    "an event called as the schema": (
        GOOD.replace("logins", "vault_etl").replace("[events.vault_etl]", "[events.vault_etl] #!"),
        "no event can be called vault_etl",
    ),
    "a column called as a role": (
        with_lines('vault_etl_owner = {type = "integer"} #!'),
        "no column can be called vault_etl_owner",
    ),
    "a token called as the schema": (
        changed(IP, 'ip = {token = "vault_etl"} #!'),
        "no column can be called vault_etl",
    ),
    "a moment called as the schema": (
        changed(DAY, 'day = {type = "day", moment = "vault_etl"} #!'),
        "no column can be called vault_etl",
    ),
    "a column of Postgres": (with_lines('xmin = {type = "integer"} #!'), "called xmin"),
    "a column of a next token": (with_lines('next_day = {type = "day"} #!'), "called next_day"),
    "a column of a ciphertext": (
        with_lines('body_ciphertext = {type = "integer"} #!'),
        "called body_ciphertext",
    ),
    "a token of the vault": (
        changed(IP, 'ip = {token = "token_generation"} #!'),
        "no column can be called token_generation",
    ),
    # Columns.
    "a token that is a plain column": (
        changed(IP, 'ip = {token = "day"} #!'),
        "the event logins has the column day twice",
    ),
    "a moment that is a plain column": (
        changed(DAY, 'day = {type = "day", moment = "user_id"} #!'),
        "has the column user_id twice",
    ),
    "a moment that is its day": (
        changed(DAY, 'day = {type = "day", moment = "day"} #!'),
        "has the column day twice",
    ),
    "one token of two values": (
        changed(IP, f"{IP}\nother = {{field = 'ip', token = 'masked_ip'}} #!"),
        "has the column masked_ip twice",
    ),
}
