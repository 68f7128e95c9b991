"""Changes of a declaration: each has its class, and none makes a personal value plain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.declaration.good_declaration import DAY, FIELD, GOOD, IP, SECOND, USER, changed
from vault_etl.declaration.changes import Effect, changes, lets_old_workers_write
from vault_etl.declaration.faults import FaultyDeclarationError
from vault_etl.declaration.model import Declaration
from vault_etl.declaration.parse import parse_declaration

EVENT: Final = 'day = "day"'
ROUTED: Final = changed(EVENT, 'day = "day"\nqueue = "a"')
TWO: Final = ROUTED + SECOND.replace("[events.signups]", "[events.signups]\nqueue = 'b'")
TEXT: Final = changed(FIELD, '[fields.ip]\nkind = "text"\nmax = 9')
PHONE: Final = changed(FIELD, '[fields.ip]\nkind = "phone"')
SWISS: Final = changed(FIELD, '[fields.ip]\nkind = "phone"\nregion = "CH"')
OS: Final = f'{GOOD}os = {{type = "text", max = 9}}\n'
HOME: Final = changed(IP, f'{IP}\nhome = {{field = "ip"}}')


def declared(text: str) -> Declaration:
    """The declaration of a text."""
    return parse_declaration(text.encode(), "test.toml")


CASES: Final[dict[str, tuple[str, str, list[str]]]] = {
    "nothing": (GOOD, f"# again\n{GOOD}", []),
    # Additions.
    "a field": (
        GOOD,
        changed(FIELD, f"{FIELD}\n[fields.id]\nkind = 'text'"),
        ["fields.id adds a field"],
    ),
    "an optional personal value": (
        GOOD,
        HOME,
        ["events.logins.personal.home adds an optional value"],
    ),
    "a required personal value": (
        GOOD,
        HOME.replace('"ip"}', '"ip", required = true}'),
        ["events.logins.personal.home adds a required value"],
    ),
    "an optional plain column": (GOOD, OS, ["events.logins.plain.os adds an optional value"]),
    "a required plain column": (
        GOOD,
        OS.replace("9}", "9, required = true}"),
        ["events.logins.plain.os adds a required value"],
    ),
    "an event": (ROUTED, TWO, ["events.signups adds an event"]),
    # Rules for new records.
    "a queue": (GOOD, ROUTED, ["events.logins.queue changes a rule for new records"]),
    "a discriminator": (
        GOOD,
        changed(EVENT, f'{EVENT}\nwhen = {{path = "$.type", equals = "a"}}'),
        ["events.logins.when changes a rule for new records"],
    ),
    "a value that may be missing": (
        GOOD,
        changed(IP, "ip = {}"),
        ["events.logins.personal.ip changes a rule for new records"],
    ),
    "a longer text": (
        GOOD,
        changed("max = 64", "max = 65"),
        ["events.logins.plain.user_id changes a rule for new records"],
    ),
    "a longer personal text": (
        TEXT,
        TEXT.replace("max = 9", "max = 10"),
        ["fields.ip changes a rule for new records"],
    ),
    "numbers": (
        GOOD,
        changed("max = 64", 'max = 64, numbers = "whole"'),
        ["events.logins.plain.user_id changes a rule for new records"],
    ),
    "a region": (PHONE, SWISS, ["fields.ip changes a rule for new records"]),
    "no region any more": (SWISS, PHONE, ["fields.ip changes a rule for new records"]),
    "a retired value": (
        HOME,
        HOME.replace('"ip"}', '"ip", retired = true}'),
        ["events.logins.personal.home retires"],
    ),
    "a retired column": (
        OS,
        OS.replace("9}", "9, retired = true}"),
        ["events.logins.plain.os retires"],
    ),
    "a retired event": (
        TWO,
        TWO.replace("queue = 'b'", "queue = 'b'\nretired = true"),
        ["events.signups retires"],
    ),
    "a value that is back": (
        HOME.replace('"ip"}', '"ip", retired = true}'),
        HOME,
        ["events.logins.personal.home refused: it is retired for good"],
    ),
    # Refusals.
    "another region": (
        SWISS,
        SWISS.replace("CH", "DE"),
        ["fields.ip refused: numbers without a plus are of the region CH"],
    ),
    "another kind": (GOOD, TEXT, ["fields.ip refused: its kind is ip"]),
    "a shorter text": (
        GOOD,
        changed("max = 64", "max = 63"),
        ["events.logins.plain.user_id refused: stored values have up to 64 characters"],
    ),
    "a shorter personal text": (
        TEXT,
        TEXT.replace("max = 9", "max = 8"),
        ["fields.ip refused: stored values have up to 9 characters"],
    ),
    "another token": (
        GOOD,
        changed(IP, 'ip = {required = true, token = "address"}'),
        [
            "events.logins.personal.ip refused: its columns are masked_ip, next_masked_ip, ip_ciphertext"
        ],
    ),
    "another derived form": (
        GOOD,
        changed(IP, 'ip = {required = true, derived = ["network"]}'),
        [
            "events.logins.personal.ip refused: its columns are masked_ip, next_masked_ip, ip_ciphertext"
        ],
    ),
    "another moment": (
        GOOD,
        changed(DAY, 'day = {type = "day", moment = "at"}'),
        ["events.logins.plain.day refused: its columns are day"],
    ),
    "another type": (
        OS,
        OS.replace('"text", max = 9', '"integer"'),
        ["events.logins.plain.os refused: its type is text"],
    ),
    "another path": (
        GOOD,
        changed(IP, 'ip = {required = true, path = "$.client.ip"}'),
        ["events.logins.personal.ip refused: its path is $.ip"],
    ),
    "another field": (
        changed(FIELD, f"{FIELD}\n[fields.id]\nkind = 'ip'"),
        changed(FIELD, f"{FIELD}\n[fields.id]\nkind = 'ip'").replace(
            IP, "ip = {required = true, field = 'id'}"
        ),
        ["events.logins.personal.ip refused: its field is ip"],
    ),
    "another subject": (
        f"{GOOD}{USER.replace('user_id', 'person')}\n",
        f"{GOOD}{USER.replace('user_id', 'person')}\n".replace('= "user_id"', '= "person"'),
        ["events.logins.subject refused: the subject of the event is user_id"],
    ),
    "another day": (
        f"{GOOD}sent = {{type = 'day'}}\n",
        f"{GOOD}sent = {{type = 'day'}}\n".replace('= "day"\n', '= "sent"\n'),
        ["events.logins.day refused: the day of the event is day"],
    ),
    "a missing field": (
        changed(FIELD, f"{FIELD}\n[fields.id]\nkind = 'text'"),
        GOOD,
        ["fields.id refused: it is missing, and nothing is deleted or renamed"],
    ),
    "a missing value": (
        HOME,
        GOOD,
        ["events.logins.personal.home refused: it is missing, and nothing is deleted or renamed"],
    ),
    "a missing event": (
        TWO,
        ROUTED,
        ["events.signups refused: it is missing, and nothing is deleted or renamed"],
    ),
    # Personal values stay personal.
    "a value that moves and leaves its path to a column": (
        GOOD,
        changed(IP, 'ip = {path = "$.v4", required = true}')
        + 'address = {type = "text", max = 64, path = "$.ip"}\n',
        [
            "events.logins.personal.ip refused: its path is $.ip",
            "events.logins.plain.address adds an optional value",
            "events.logins.plain.address refused: events.logins.personal.ip is personal",
        ],
    ),
    "a retired event whose messages another one takes": (
        TWO,
        TWO.replace("queue = 'b'", "queue = 'b'\nretired = true")
        + SECOND.replace("signups]", "others]\nqueue = 'b'").replace("{}", "{path = '$.v4'}")
        + "[events.others.plain.address]\ntype = 'text'\nmax = 9\npath = '$.ip'\n",
        [
            "events.others adds an event",
            "events.signups retires",
            "events.others.plain.address refused: events.signups.personal.ip is personal",
        ],
    ),
}


@pytest.mark.parametrize(("old", "new", "said"), CASES.values(), ids=CASES)
def test_each_change_has_its_class(old: str, new: str, said: list[str]) -> None:
    """A change is named by its key, and classed."""
    found = changes(declared(old), declared(new))
    assert [f"{change.where} {change}" for change in found] == said
    harmless = {Effect.ADDS_FIELD, Effect.ADDS_OPTIONAL}
    assert lets_old_workers_write(found) == {change.effect for change in found}.issubset(harmless)


def test_a_retirement_leaves_no_personal_value_of_a_file_to_another_event() -> None:
    """A file is of no queue: the one event that is left would take in clear what was personal in the other."""
    both = TWO + "[events.signups.plain.address]\ntype = 'text'\nmax = 9\npath = '$.v4'\n"
    both = both.replace(IP, "ip = {required = true, path = '$.v4'}")
    refused = "events.signups.plain.address refused: events.logins.personal.ip is personal"
    for route, said in (
        ("retired = true", "events.logins retires"),
        (
            'when = {path = "$.type", equals = "a"}',
            "events.logins.when changes a rule for new records",
        ),
    ):
        alone = both.replace('queue = "a"', f'queue = "a"\n{route}')
        found = changes(declared(both), declared(alone))
        assert [f"{change.where} {change}" for change in found] == [said, refused]
    assert not changes(declared(both), declared(both))


def test_a_retired_event_takes_nothing_in_clear() -> None:
    """A plain column of a retired event is not refused, whatever another event of its queue takes."""
    text = TWO + "[events.signups.plain.address]\ntype = 'text'\nmax = 9\npath = '$.v4'\n"
    text = text.replace(IP, "ip = {required = true, path = '$.v4'}")
    retired = text.replace("queue = 'b'", "queue = 'a'\nretired = true")
    assert not changes(declared(retired), declared(retired))


def test_queues_that_are_exchanged_turn_nothing_into_plain_text() -> None:
    """An event that takes the messages of another one takes none of its personal values in clear."""
    old = ROUTED + SECOND.replace("[events.signups]", "[events.signups]\nqueue = 'b'").replace(
        "personal.ip = {}",
        "personal.ip = {path = '$.v4'}\nplain.address = {type = 'text', max = 9, path = '$.ip'}",
    )
    new = old.replace('"a"', '"c"').replace("'b'", "'a'").replace('"c"', '"b"')
    refused = [
        change.where
        for change in changes(declared(old), declared(new))
        if change.effect is Effect.REFUSED
    ]
    assert refused == ["events.signups.plain.address"]


paths = st.sampled_from(["$.a", "$.b", "$.c", "$.c.d"])
queues = st.tuples(st.sampled_from("ab"), st.sampled_from("ab"))
flags = st.tuples(st.booleans(), st.booleans())
columns = st.tuples(st.none() | paths, st.none() | paths)


@example(("$.a", "$.b"), (("a", "b"), ("b", "b")), ((False, True), (False, True)), ("$.b", None))
@given(st.tuples(paths, paths), st.tuples(queues, queues), st.tuples(flags, flags), columns)
def test_no_change_turns_a_personal_value_into_plain_text(
    personal: tuple[str, str],
    routes: tuple[tuple[str, str], tuple[str, str]],
    retired: tuple[tuple[bool, bool], tuple[bool, bool]],
    added: tuple[str | None, str | None],
) -> None:
    """A value that was personal in the messages of a queue or a file gets a plain column only by a refused change."""

    def text(step: int, added: Sequence[str | None]) -> str:
        text = "format = 1\nfields.ip.kind = 'ip'\n"
        for at, path in enumerate(added):
            text += f"[events.e{at}]\nsubject = 'id'\nday = 'day'\nqueue = '{routes[step][at]}'\n"
            text += f"retired = {str(retired[step][at]).lower()}\n"
            text += f"personal.ip{at} = {{field = 'ip', path = '{personal[at]}'}}\n"
            text += "plain.id = {type = 'text', max = 9, required = true}\n"
            text += "plain.day = {type = 'day'}\n"
            text += f"plain.new = {{type = 'integer', path = '{path}'}}\n" if path else ""
        return text

    try:
        found = changes(declared(text(0, (None, None))), declared(text(1, added)))
    except FaultyDeclarationError:
        return
    is_alone = sum(retired[1]) == 1  # so it takes the messages of a file
    in_clear = any(
        (is_alone or routes[0][before] == routes[1][after])
        and (f"{path}.".startswith(f"{was}.") or f"{was}.".startswith(f"{path}."))
        for after, path in enumerate(added)
        if path and not retired[1][after]
        for before, was in enumerate(personal)
    )
    if in_clear:
        assert Effect.REFUSED in {change.effect for change in found}
