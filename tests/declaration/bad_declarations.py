"""Bad declarations, each with `#!` on the line of its fault, and a part of the message."""

from __future__ import annotations

from typing import Final

from tests.declaration.bad_names import NAMES
from tests.declaration.good_declaration import (
    DAY,
    EVENT,
    FIELD,
    GOOD,
    IP,
    SECOND,
    USER,
    changed,
    with_lines,
)

CASES: Final[dict[str, tuple[str, str]]] = {
    # Syntax.
    "not TOML": (with_lines("", "x = = 1 #!"), "not TOML: Invalid value"),
    "not TOML at the end": (f"{GOOD}[events #!", "not TOML"),
    "a key twice": (changed(IP, f"{IP}\n{IP} #!"), "not TOML: Cannot overwrite a value"),
    # Keys and types.
    "an unknown key at the top": (f"format = 1\nfeilds = 1 #!\n{EVENT}", "feilds is not a key"),
    "an unknown key of a field": (changed(FIELD, f"{FIELD}\nmax = 1 #!"), "fields.ip.max is not"),
    "an unknown key of an event": (
        changed('day = "day"', 'day = "day"\nqeue = "a" #!'),
        "events.logins.qeue is not a key",
    ),
    "an unknown key of a personal value": (
        changed(IP, "[events.logins.personal.ip]\nrequired = true\nmax = 2 #!"),
        "events.logins.personal.ip.max is not a key",
    ),
    "an unknown key of a plain column": (
        changed(DAY, f"{DAY}\n[events.logins.plain.os]\ntype = 'integer'\nmax = 2 #!"),
        "events.logins.plain.os.max is not a key",
    ),
    "no format": (EVENT, "the file has no format"),
    "another format": (f"format = 2 #!\n{EVENT}", "reads format 1, and not 2"),
    "a format as text": (f'format = "1" #!\n{EVENT}', "format must be a whole number"),
    "a format as true": (f"format = true #!\n{EVENT}", "format must be a whole number"),
    "no kind": (changed(FIELD, "[fields.ip] #!"), "[fields.ip] has no kind"),
    "no subject": (
        GOOD.replace('subject = "user_id"\n', "").replace("[events.logins]", "[events.logins] #!"),
        "[events.logins] has no subject",
    ),
    "no type": (
        changed(DAY, f"{DAY}\nos = {{max = 2}} #!"),
        "[events.logins.plain.os] has no type",
    ),
    "no max": (changed(DAY, f"{DAY}\nos = {{type = 'text'}} #!"), "plain.os] has no max"),
    "a field that is no table": (
        GOOD.replace(FIELD, '[fields]\nid = "ip" #!\n[fields.ip]\nkind = "ip"'),
        "fields.id must be a table",
    ),
    "fields that are no table": ("format = 1\nfields = 1 #!\n", "fields must be a table"),
    "required as text": (
        changed("{required = true}", '{required = "yes"} #!'),
        "must be true or false",
    ),
    "an empty file": ("#!", "the file has no format"),
    # Kinds.
    "an unknown kind": (changed('kind = "ip"', 'kind = "address" #!'), "there is no kind address"),
    "a wrong option": (
        changed('kind = "ip"', 'kind = "text"\nmax = 0 #!'),
        "must be a whole number from 1 to",
    ),
    "another version of a kind": (
        changed('kind = "ip"', 'kind = "ip"\nversion = 9 #!'),
        "no version 9 of the kind ip",
    ),
    **NAMES,
    # Personal and plain.
    "a field that is plain": (
        with_lines('ip = {type = "text", max = 9, path = "$.address"} #!'),
        "ip is personal, and plain too",
    ),
    "a value that is personal and plain": (
        with_lines('ip = {type = "text", max = 9} #!'),
        "ip is personal, and plain too",
    ),
    "a moment with the name of a field": (
        changed(DAY, 'day = {type = "day", moment = "ip"} #!'),
        "ip is personal, and plain too",
    ),
    "a path that is personal and plain": (
        with_lines('address = {type = "text", max = 9, path = "$.ip"} #!'),
        "the value at $.ip is personal, and plain too",
    ),
    "a part of a personal value": (
        with_lines('address = {type = "text", max = 9, path = "$.ip.v4"} #!'),
        "the value at $.ip.v4 is personal, and plain too",
    ),
    "the path of a retired personal value": (
        changed(IP, "ip = {retired = true}\nid = {field = 'ip'}")
        + 'address = {type = "text", max = 9, path = "$.ip"} #!\n',
        "the value at $.ip is personal, and plain too",
    ),
    "a path that is taken twice": (
        with_lines('age = {type = "integer", path = "$.user_id"} #!'),
        "the value at $.user_id is taken twice",
    ),
    "a path in another spelling": (
        changed(IP, f"{IP}\nother = {{field = 'ip', path = \"$['ip']\"}} #!"),
        "the value at $.ip is taken twice",
    ),
    "a path without its sign": (
        changed(IP, 'ip = {path = "client.ip"} #!'),
        "client.ip is not a path",
    ),
    # Subject, day, fields of values.
    "a subject that is not declared": (
        changed('subject = "user_id"', 'subject = "person" #!'),
        "the subject person is not a plain column",
    ),
    "a subject that is personal": (
        changed('subject = "user_id"', 'subject = "ip" #!'),
        "the subject ip is not a plain column",
    ),
    "a subject that may be missing": (
        changed(USER, USER.replace(", required = true", "")).replace('"user_id"', '"user_id" #!'),
        "the subject user_id is not a required text",
    ),
    "a subject that is a number": (
        changed(USER, "user_id = {type = 'integer', required = true}").replace(
            '"user_id"', '"user_id" #!'
        ),
        "the subject user_id is not a required text",
    ),
    "a subject that is retired": (
        changed(USER, USER.replace("true", "true, retired = true")).replace(
            '"user_id"', '"user_id" #!'
        ),
        "the subject user_id is not a required text",
    ),
    "a long subject": (changed(USER, f"{USER.replace('64', '513')} #!"), "512 characters at most"),
    "a day that is text": (
        changed(DAY, "day = {type = 'text', max = 9}").replace('"day"', '"day" #!'),
        "the day day is not a column of the type day",
    ),
    "a day that is not declared": (
        changed('day = "day"', 'day = "date" #!'),
        "the day date is not",
    ),
    "text that is too long": (with_lines("os = {type = 'text', max = 8193} #!"), "from 1 to 8192"),
    "text of no length": (with_lines("os = {type = 'text', max = 0} #!"), "from 1 to 8192"),
    "an unknown type": (with_lines("os = {type = 'string', max = 1} #!"), "string is not a type"),
    "unknown numbers": (
        with_lines("os = {type = 'text', max = 1, numbers = 'all'} #!"),
        "all is not a numbers",
    ),
    "an unknown field": (changed(IP, f"{IP}\nmail = {{}} #!"), "there is no field mail"),
    "a retired field": (
        changed(FIELD, f"{FIELD}\nretired = true").replace(IP, f"{IP} #!"),
        "the field ip is retired",
    ),
    "an unknown derived form": (
        changed(IP, 'ip = {derived = ["postcode"]} #!'),
        "the kind ip has no derived form postcode",
    ),
    "a derived form that is no text": (
        changed(IP, "ip = {derived = [[1]]} #!"),
        "has no derived form [1]",
    ),
    "an empty field": (changed(IP, 'ip = {field = ""} #!'), "there is no field"),
    "a derived form twice": (
        changed(IP, 'ip = {derived = ["network", "network"]} #!'),
        "a derived form is listed twice",
    ),
    "a derived form that is a column": (
        changed(IP, 'ip = {required = true, derived = ["network"]}')
        + "masked_ip_network = {type = 'integer'} #!\n",
        "the event logins has the column masked_ip_network twice",
    ),
    "a telephone number of no region": (
        changed('kind = "ip"', 'kind = "phone"\nregion = "Switzerland" #!'),
        "the option 'region' must be a country code",
    ),
    # Routes.
    "a queue of another's dead letters": (
        changed('day = "day"', 'day = "day"\nqueue = "orders"')
        + SECOND.replace("[events.signups]", "[events.signups]\nqueue = 'orders-dead' #!"),
        "orders-dead is the dead-letter queue of orders",
    ),
    "a queue of another's dead letters, in order": (
        changed('day = "day"', 'day = "day"\nqueue = "orders-dead.fifo" #!')
        + SECOND.replace("[events.signups]", "[events.signups]\nqueue = 'orders.fifo'"),
        "orders-dead.fifo is the dead-letter queue of orders.fifo",
    ),
    "a queue of the dead letters of any": (
        changed(
            'day = "day"',
            'day = "day"\nqueue = "vault-etl-logins-dead" #!\nwhen = {path = "$.type", equals = "a"}',
        )
        + SECOND.replace(
            "[events.signups]", '[events.signups]\nwhen = {path = "$.type", equals = "b"}'
        ),
        "vault-etl-logins-dead is the dead-letter queue of vault-etl-logins",
    ),
    "a queue that is a URL": (
        changed('day = "day"', 'day = "day"\nqueue = "https://sqs/1/a" #!'),
        "is not the name of an SQS queue",
    ),
    "a discriminator without a text": (
        changed('day = "day"', 'day = "day"\nwhen = {path = "$.type"} #!'),
        "[events.logins.when] has no equals",
    ),
    "a personal discriminator": (
        changed('day = "day"', 'day = "day"\nwhen = {path = "$.ip", equals = "192.0.2.1"} #!'),
        "the value at $.ip is personal",
    ),
    "two events without a route": (
        GOOD + SECOND.replace("[events.signups]", "[events.signups] #!"),
        "a message could be of the events logins and signups",
    ),
    "two events of one queue": (
        changed('day = "day"', 'day = "day"\nqueue = "a"')
        + SECOND.replace("[events.signups]", "[events.signups] #!\nqueue = 'a'"),
        "a message could be of the events",
    ),
    "an event of a queue beside one of any": (
        GOOD + SECOND.replace("[events.signups]", "[events.signups] #!\nqueue = 'a'"),
        "a message could be of the events",
    ),
    "discriminators of two paths": (
        changed('day = "day"', 'day = "day"\nwhen = {path = "$.type", equals = "login"}')
        + SECOND.replace(
            "[events.signups]",
            '[events.signups] #!\nwhen = {path = "$.kind", equals = "signup"}',
        ),
        "a message could be of the events",
    ),
    "no event": (f"format = 1\n{FIELD}\n[events] #!\n", "there is no event"),
    "no personal value": (
        changed("[events.logins.personal]\n" + IP, "").replace("logins]", "logins] #!"),
        "the event logins has no personal value",
    ),
    "every event retired": (
        changed('day = "day"', 'day = "day"\nretired = true').replace("logins]", "logins] #!", 1),
        "every event is retired",
    ),
    # Limits and names of relations.
    "40 fields": (
        GOOD.replace(
            FIELD,
            "".join(f'[fields.f{at}]{" #!" if at == 32 else ""}\nkind = "ip"\n' for at in range(39))
            + FIELD,
        ),
        "40 fields are too many: 32 at most",
    ),
    "an index with a long name": (
        GOOD.replace("logins", "e" * 31)
        .replace(IP, f"{'i' * 31} = {{field = 'ip'}}")
        .replace(f"[events.{'e' * 31}]", f"[events.{'e' * 31}] #!"),
        "would have more than 63 bytes",
    ),
    "a view that is an event": (
        changed('day = "day"', 'day = "day"\nqueue = "a"')
        + SECOND.replace("[events.signups]", "[events.logins_masked] #!\nqueue = 'b'"),
        "two tables, views or indexes would be called logins_masked",
    ),
    "a view that is an index": (
        GOOD.replace("user_id", "masked").replace("logins]", "logins] #!", 1),
        "two tables, views or indexes would be called logins_masked",
    ),
    "a month that is an event": (
        changed('day = "day"', 'day = "day"\nqueue = "a"')
        + SECOND.replace("[events.signups]", "[events.logins_2026_01] #!\nqueue = 'b'"),
        "logins_2026_01 would be a month of the event logins",
    ),
}
