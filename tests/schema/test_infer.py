"""`schema infer`: proposals are valid declarations, guess with care, and hold no value of the sample events."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault_etl.base.errors import DataError
from vault_etl.declaration.json_path import JsonPath
from vault_etl.declaration.model import DeclaredEvent, Numbers, PersonalValue, PlainType
from vault_etl.declaration.parse import parse_declaration
from vault_etl.event.events import EventParser
from vault_etl.event.json_body import json_value
from vault_etl.event.parsed_event import ParsedEvent
from vault_etl.schema.proposal import propose
from vault_etl.schema.samples import sample_events

COUNT: Final = 40
MARK: Final = "zq4711"


def proposed(
    events: Sequence[Mapping[str, object]], subject: JsonPath | None = None
) -> DeclaredEvent:
    """The event of the proposal."""
    text = propose(events, "signups", subject)
    return parse_declaration(text.encode(), "proposal").event("signups")


def events_of(**values: object) -> list[dict[str, object]]:
    """Sample events: a list is a value an event, `#` in a text is the number of the event."""
    return [
        {
            "user_id": f"person {at}",
            "ip": f"192.0.2.{at}",
            **{
                name: value[at % len(value)]
                if isinstance(value, tuple)
                else value.replace("#", str(at))
                if isinstance(value, str)
                else value
                for name, value in values.items()
            },
        }
        for at in range(COUNT)
    ]


def value_of(**values: object) -> PersonalValue | tuple[PlainType, Numbers | None]:
    """Return how the one value of these events is stored."""
    (name,) = values
    event = proposed(events_of(**values))
    (value,) = [each for each in event.values if each.path.names[0] == name]
    return value if isinstance(value, PersonalValue) else (value.type, value.numbers)


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ("2001:db8::#", "ip"),
        ("person#@example.org", "email"),
        ("+414466818#", "phone"),
        ("01a1fc29-ca31-7f16-a77c-58d57c39a4#", "uuid"),
        ("4000 0000 0000 #", "digits"),
        ("a person called #", "text"),
    ],
)
def test_a_value_of_a_known_form_has_its_kind(values: str, kind: str) -> None:
    """Addresses, e-mail addresses, telephone numbers, UUIDs, long numbers and texts that differ are personal."""
    texts = tuple(values.replace("#", str(10 + at)) for at in range(COUNT))
    value = value_of(value=texts)
    assert isinstance(value, PersonalValue)
    assert value.field.kind.name == kind


@pytest.mark.parametrize(
    ("values", "type_", "numbers"),
    [
        (("ios", "android"), PlainType.TEXT, None),
        (("ios", b"4"), PlainType.TEXT, Numbers.WHOLE),
        (("1.10", b"1.1"), PlainType.TEXT, Numbers.DECIMAL),
        ((b"1", b"23"), PlainType.INTEGER, None),
        ((b"1", b"2.5"), PlainType.DECIMAL, None),
        ((True, False), PlainType.BOOLEAN, None),
        (("2026-01-31",), PlainType.DAY, None),
        (("2026-01-31", "2026-01-31T10:00Z"), PlainType.DAY, None),
    ],
)
def test_a_value_that_names_no_person_is_plain(
    values: tuple[object, ...], type_: PlainType, numbers: Numbers | None
) -> None:
    """Few short texts that repeat, short numbers, booleans and days are plain."""
    assert value_of(value=values) == (type_, numbers)


def test_moments_beside_the_day_are_moments() -> None:
    """The first path with days is the day of the event, and has its moments in a second column."""
    event = proposed(events_of(at="2026-01-31T10:00:00Z", until="2026-01-31T11:00:00Z"))
    assert event.day.columns == ("at", "at_time")
    assert {each.name: each.type for each in event.plain}["until"] == PlainType.MOMENT


def test_the_name_of_a_day_leaves_room_for_its_moment() -> None:
    """Both are names of at most 31 characters."""
    samples = events_of(quarantine={"quarantine": {"email": "2026-01-31T10:00:00Z"}})
    event = proposed(samples)
    assert event.day.columns == ("email", "email_time")


def test_a_doubt_keeps_a_value_personal() -> None:
    """A path with some e-mail addresses is personal text, and a comment asks for a decision."""
    events = events_of(contact=("by letter", "by phone", "person@example.org"))
    text = propose(events, "signups")
    assert "# Decide: In all events. 32 % are e-mail addresses, and others are not." in text
    value = value_of(contact=("by letter", "by phone", "person@example.org"))
    assert isinstance(value, PersonalValue)
    assert value.field.kind.name == "text"


def test_values_of_one_kind_join_and_other_ids_do_not() -> None:
    """Addresses at two paths are of one field; UUIDs at two paths are ids of different things."""
    ids = tuple(f"01a1fc29-ca31-7f16-a77c-58d57c39a4{at}" for at in range(10, 10 + COUNT))
    event = proposed(events_of(server="192.0.2.#", session=ids, device=ids))
    fields = {value.name: value.field.name for value in event.personal}
    assert fields == {"ip": "ip", "server": "ip", "session": "session", "device": "device"}


def test_nested_names_become_columns() -> None:
    """A nested path has a name of its own in snake case; names that are taken get a number."""
    client = {"ipAddress": "192.0.2.1", "record-id": "2001:db8::1"}
    event = proposed([{**each, "client": client, "next": {"day": True}} for each in events_of()])
    paths = {value.name: str(value.path) for value in event.values}
    assert paths["client_ip_address"] == "$.client.ipAddress"
    assert paths["client_record_id"] == "$.client['record-id']"
    assert paths["the_next_day"] == "$.next.day"


def test_the_subject_is_the_path_that_is_named_so() -> None:
    """`user.id` is the subject, and not the id of an order; --subject names another path."""
    events = [
        {"order": {"id": f"o {at}"}, "user": {"id": f"u {at}"}, "ip": f"192.0.2.{at}"}
        for at in range(COUNT)
    ]
    assert str(proposed(events).subject.path) == "$.user.id"
    assert str(proposed(events, JsonPath(("order", "id"))).subject.path) == "$.order.id"


def test_an_event_without_the_subject_decides_nothing() -> None:
    """A value that all events with the subject have is required, and the proposal counts the others."""
    events: list[dict[str, object]] = [*events_of(), {"foo": "other"}]
    assert proposed(events).personal[0].required
    assert "events without the subject, which go to quarantine: 1." in propose(events, "signups")


@pytest.mark.parametrize(
    ("events", "subject", "what"),
    [
        ([{"order_id": "1", "ip": "192.0.2.1"}], None, "no path looks like the id of a person"),
        ([{"user_id": "a@example.org", "ip": "192.0.2.1"}], None, "no path looks like the id"),
        ([{"user_id": "1", "ip": "192.0.2.1"}], "ip", r"\$\.ip cannot be the subject"),
        ([{"user_id": "1", "ip": "192.0.2.1"}], "x", r"\$\.x cannot be the subject"),
        ([{"user_id": "1", "ok": True}], None, "no path looks personal"),
    ],
)
def test_events_without_a_subject_or_a_personal_value_are_refused(
    events: list[dict[str, object]], subject: str | None, what: str
) -> None:
    """The error says what is missing. An address or an e-mail address is no subject: a subject is in clear."""
    with pytest.raises(DataError, match=what):
        propose(events, "signups", JsonPath((subject,)) if subject else None)


def test_what_no_column_can_take_is_listed() -> None:
    """Lists, times without a zone, and values of several types are named with the reason."""
    text = propose(
        events_of(tags=["a"], at="2026-01-31 10:00", either=(True, "x"), gone="", both=({}, "x")),
        "signups",
    )
    left_out = text.split("# Left out:\n")[1]
    for line in (
        "$.tags: lists.",
        "$.at: times without a zone",
        "$.either: true or false, and other values.",
        "$.gone: no values.",
        "$.both: objects and other values.",
    ):
        assert f"# {line}" in left_out


def test_names_that_may_be_values_are_not_shown() -> None:
    """A name that looks like an e-mail address, a number or a sentence is counted, and not shown."""
    named = {"anna@example.org": 1, "2026-01-31": {"x": 1}, "a name": "x", "id 4711 0815": "x"}
    text = propose([{**each, **named} for each in events_of()], "signups")
    assert not any(name in text for name in named)
    assert f"values whose names may be values themselves: {COUNT * 5}." in text


names = st.sampled_from(
    ["id", "ip", "user", "email", "quarantine", "source", "record_id", "x-y", "dayAt", "e" * 60]
)
texts = st.sampled_from(
    [
        f"192.0.2.1{MARK[2:4]}",
        f"{MARK}@{MARK}.example",
        f"+{MARK[2:]}18005551234",
        f"{MARK} {MARK}",
        f"{MARK}",
        "2026-01-31",
        "2026-01-31T10:00:00Z",
        "9" * 20,
        "",
        "unknown",
        MARK * 1_000,
    ]
)
scalars = texts | st.sampled_from([b"4711", b"47.11", b"1e9", b"47110815", True, None])
values = st.recursive(
    scalars,
    lambda inner: st.dictionaries(names, inner, max_size=4) | st.lists(inner, max_size=2),
    max_leaves=10,
)


@given(
    st.lists(st.dictionaries(names, values, max_size=6), min_size=1, max_size=6),
    st.text("abc", min_size=1, max_size=31),
)
def test_any_proposal_is_valid_and_holds_no_value(
    samples: list[dict[str, object]], event: str
) -> None:
    """Whatever the samples hold, the proposal passes the check, and no value is in it."""
    events = [{**each, "user_id": MARK, "the_ip": "192.0.2.147"} for each in samples]
    text = propose(events, event)
    assert parse_declaration(text.encode(), "proposal").event(event).personal
    for value in (MARK, "192.0.2.1", "4711", "47.11", "999", "2026-01-31", "1800555"):
        assert value not in text


FILES: Final = {
    "events.jsonl": '{"user_id": "1", "ip": "192.0.2.1"}\n{"user_id": "2", "ip": "192.0.2.2"}\n',
    "array.json": '[{"user_id": "1", "ip": "192.0.2.1"}, {"user_id": "2", "ip": "192.0.2.2"}]',
    "any.csv": "user_id;ip\n1;192.0.2.1\n2;192.0.2.2\n",
    "quoted.csv": '\ufeff"user_id","ip"\r\n"1","192.0.2.1"\r\n"2","192.0.2.2"\r\n',
    "sns.jsonl": "".join(
        json.dumps({"Type": "Notification", "TopicArn": "a", "Message": json.dumps(event)}) + "\n"
        for event in ({"user_id": "1", "ip": "192.0.2.1"}, {"user_id": "2", "ip": "192.0.2.2"})
    ),
}


@pytest.mark.parametrize(("name", "content"), FILES.items(), ids=FILES)
def test_samples_are_read_as_ingest_reads_them(tmp_path: Path, name: str, content: str) -> None:
    """JSON lines, arrays, CSV with any header row and envelopes give the same events."""
    file = tmp_path / name
    file.write_text(content, "utf-8")
    found = sample_events(str(file), 10)
    assert [dict(event) for event in found.events] == [
        {"user_id": "1", "ip": "192.0.2.1"},
        {"user_id": "2", "ip": "192.0.2.2"},
    ]
    assert len(sample_events(str(file), 1).events) == 1


def test_records_that_are_no_events_are_counted(tmp_path: Path) -> None:
    """Rubbish between events is left out; a file of rubbish alone is refused, without its content."""
    file = tmp_path / "mixed"
    file.write_bytes(b'{"user_id": "1"}\n' + f"{MARK}\n[1]\n\xff\n".encode("latin-1"))
    found = sample_events(str(file), 10)
    assert (len(found.events), found.others) == (1, 3)
    file.write_text(f"{MARK}\n{MARK}\n", "utf-8")
    with pytest.raises(DataError, match="none of the first 2 records") as caught:
        sample_events(str(file), 10)
    assert MARK not in f"{caught.value} {caught.value.hint}"


def test_the_sample_events_are_events_of_the_proposal() -> None:
    """Each sample has what the proposal requires, and its kinds and types take the values."""
    samples = events_of(
        client={"ip": "2001:db8::1", "count": 4, "ratio": 1.5},
        mail="person#@example.org",
        at=("2026-01-31", "2026-01-31T10:00:00Z"),
        ok=(True, False),
        either=("x", None),
    )
    bodies = [json.dumps(each).encode() for each in samples]
    events = [json_value(body) for body in bodies]
    text = propose([event for event in events if isinstance(event, dict)], "signups")
    parser = EventParser(parse_declaration(text.encode(), "proposal"))
    for body in bodies:
        assert isinstance(parser.parse(body), ParsedEvent)
