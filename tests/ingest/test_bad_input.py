"""Messages that cannot be records are quarantined with a reason and a path, open unchanged, and the run continues."""

from __future__ import annotations

import datetime as dt
import json

from tests.kit.events import event, events
from tests.kit.quarantined import open_body, quarantine_key
from tests.kit.vault import Vault

LIMITS = {"user_id": 128, "device_type": 32, "locale": 32, "app_version": 32, "device_id": 256}
REQUIRED = ("user_id", "device_type", "ip", "device_id")
NOT_ADDRESSES = (
    "127.1", "010.0.0.1", "0x7f.0.0.1", "2130706433", "1.2.3.4:80", "1.2.3.4, 5.6.7.8", "fe80::1%eth0",
    "10.0.0.0/8", "\uff11.2.3.4", "256.1.1.1", "1.2.3", "::ffff:1.2.3.4.5", "localhost", "[::1]", "1" * 65,
    "1.2.3.4\t",
)  # fmt: skip
NOT_DATES = (
    "2026-02-30",
    "2026-13-01",
    "20260101",
    "2026-1-1",
    "01.02.2026",
    "2026-01-01T24:00:00Z",
    "",
)

Case = tuple[str, str, str]
"""A body, the reason why it is no record, and where."""


def cases() -> list[Case]:
    """Every kind of bad message that a queue can carry."""
    whole = [
        ("not json", "not_json", "$"),
        ("{", "not_json", "$"),
        ('{"user_id": NaN}', "not_json", "$"),
        ("{'user_id': 1}", "not_json", "$"),
        (event() + "x", "not_json", "$"),
        ("\ufeff" + event(), "not_json", "$"),
        ('{"n": ' + "9" * 5000 + "}", "field_missing", "$.user_id"),
        ("[]", "not_an_object", "$"),
        (f"[{event()}, {event()}]", "several_events", "$"),
        ("null", "not_an_object", "$"),
        ('"text"', "not_an_object", "$"),
        ("17", "not_an_object", "$"),
        ("[" * 10_000 + "]" * 10_000, "nested_too_deep", "$"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "nested_too_deep", "$"),
        ("[" * 10_000, "nested_too_deep", "$"),
        (event()[:-1] + ', "ip": "203.0.113.8"}', "field_twice", "$"),
        ("x" * 250 * 1024, "not_json", "$"),
    ]
    fields = [(event(**{name: None}), "field_missing", f"$.{name}") for name in REQUIRED]
    fields += [(null(name), "field_null", f"$.{name}") for name in REQUIRED]
    fields += [(event(**{name: ""}), "field_empty", f"$.{name}") for name in REQUIRED]
    fields += [(event(**{name: " \u200b\u3000"}), "field_empty", f"$.{name}") for name in REQUIRED]
    for name, limit in LIMITS.items():
        fields.append((event(**{name: "x" * (limit + 1)}), "field_too_long", f"$.{name}"))
        fields.append((event(**{name: True}), "field_not_text", f"$.{name}"))
        fields.append((event(**{name: ["x"]}), "field_not_text", f"$.{name}"))
        fields.append((event(**{name: "a\x00b"}), "field_not_storable", f"$.{name}"))
        fields.append((event(**{name: "a\ud800b"}), "field_not_storable", f"$.{name}"))
    fields.append((event(ip=16909060), "field_not_text", "$.ip"))
    fields += [(event(ip=text), "not_an_address", "$.ip") for text in NOT_ADDRESSES]
    fields += [(event(create_date=text), "not_a_date", "$.create_date") for text in NOT_DATES]
    fields.append((event(create_date=20260101), "field_not_text", "$.create_date"))
    fields.append((event(user_id=4711.5), "field_not_text", "$.user_id"))
    local = "2026-01-01T00:00:00"
    fields.append((event(create_date=local), "time_without_zone", "$.create_date"))
    return whole + fields


def test_bad_messages_are_quarantined_and_good_ones_stored(quick: Vault) -> None:
    """Each bad message has its reason and path, opens to the sent body, and stops nothing."""
    bad = cases()
    quick.send(
        body
        for (body, *_), good in zip(bad, events(len(bad)), strict=True)
        for body in (body, good)
    )
    summary = quick.ok("ingest", "ingest").json
    assert (summary["received"], summary["deleted"]) == (2 * len(bad), 2 * len(bad))
    assert (summary["stored"], summary["quarantined"]) == (len(bad), len(bad))
    assert quick.depth() == (0, 0, 0)
    assert quick.count("user_logins") == len(bad)
    rows = quick.sql("SELECT record_id, reason_code, path, body_ciphertext FROM quarantine")
    key = quarantine_key(quick, bytes(rows[0][3]))
    opened = {(open_body(row[0], bytes(row[3]), key), row[1], row[2]) for row in rows}
    assert opened == set(bad)


def test_optional_fields_may_be_null_and_unknown_fields_are_dropped(quick: Vault) -> None:
    """No locale and no version: NULL. Unknown fields: accepted, not stored, and counted."""
    quick.send([event(locale=None, app_version=None, extra=1, more={"ip": "1.1.1.1"})])
    done = quick.ok("ingest", "ingest")
    assert (done.json["stored"], done.json["quarantined"]) == (1, 0)
    logged = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["extra_fields"] for line in logged if line["event"] == "batch"] == [2]
    assert quick.sql("SELECT locale, app_version FROM user_logins") == [(None, None)]


def test_the_date_is_the_events_own_or_the_day_of_sending(quick: Vault) -> None:
    """`create_date` defaults to the day (UTC) of sending; an event's own date wins."""
    before = dt.datetime.now(dt.UTC).date()
    quick.send([event(user_id="a"), event(user_id="b", create_date="2019-02-03")])
    after = dt.datetime.now(dt.UTC).date()
    quick.ok("ingest", "ingest")
    dates = dict(quick.sql("SELECT user_id, create_date FROM user_logins"))
    assert before <= dates["a"] <= after
    assert dates["b"] == dt.date(2019, 2, 3)


def test_numbers_are_their_spelling_and_moments_are_kept(quick: Vault) -> None:
    """A version and an id keep their spelling, 4711 and "4711" have one token, a moment gives the day in UTC."""
    spelt = event(user_id=4711, device_id=4711, create_date="2026-01-31T00:30:00.25+01:00")
    quick.send([spelt[:-1].replace('"2.3.0"', "1.10") + "}", event(device_id="4711")])
    assert quick.ok("ingest", "ingest").json["stored"] == 2
    columns = "user_id, app_version, create_date, event_time"
    ((user, version, day, moment),) = quick.sql(
        f"SELECT {columns} FROM user_logins_masked WHERE event_time IS NOT NULL",  # noqa: S608
        role="analyst",
    )
    assert (user, version, day) == ("4711", "1.10", dt.date(2026, 1, 30))
    assert moment == dt.datetime(2026, 1, 30, 23, 30, 0, 250_000, dt.UTC)
    (line,) = quick.ok("analyst", "duplicates", "-f", "device_id").lines
    assert line["count"] == 2
    asked = ("find", "-f", "device_id", "--reason", "x")
    found = quick.ok("reveal", *asked, stdin="4711").json["records"]
    assert {r["event_time"] for r in found} == {"2026-01-30T23:30:00Z", None}


def test_the_longest_values_and_all_scripts_are_stored(quick: Vault) -> None:
    """The longest fields, in any script and locale, open unchanged."""
    longest = {name: "\U0001f600" * limit for name, limit in LIMITS.items()}
    quick.send([event(**longest, ip=" 2001:DB8::1 ")])
    latin = {"PGCLIENTENCODING": "LATIN1", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    assert quick.ok("ingest", "ingest", extra=latin).json["stored"] == 1
    columns = "user_id, device_type, locale, app_version"
    ((record_id, *plain),) = quick.sql(f"SELECT record_id, {columns} FROM user_logins")  # noqa: S608
    assert plain == [longest[name] for name in columns.split(", ")]
    shown = quick.ok("reveal", "reveal", str(record_id), "--reason", "x").json["fields"]
    assert shown == {"ip": " 2001:DB8::1 ", "device_id": longest["device_id"]}


def test_spellings_of_one_value_share_a_token(quick: Vault) -> None:
    """Three spellings of one address and one device have one token; their originals stay unchanged."""
    devices = ("Caf\u00e9", "Cafe\u0301", " Caf\u00e9\t")
    addresses = ("203.0.113.7", "::ffff:203.0.113.7", " ::FFFF:CB00:7107")
    pairs = zip(addresses, devices, strict=True)
    quick.send(event(ip=ip, device_id=device) for ip, device in pairs)
    quick.ok("ingest", "ingest")
    for field, sent in (("ip", addresses), ("device_id", devices)):
        (line,) = quick.ok("analyst", "duplicates", "-f", field).lines
        assert line["count"] == 3
        ids = [str(i) for (i,) in quick.sql("SELECT record_id FROM user_logins")]
        shown = quick.ok("reveal", "reveal", *ids, "-f", field, "--reason", "x").lines
        assert sorted(entry["fields"][field] for entry in shown) == sorted(sent)


def null(name: str) -> str:
    """Return an event whose field is null."""
    return json.dumps({**json.loads(event()), name: None})
