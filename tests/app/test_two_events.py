"""A vault of two events: each command reaches the records of both, and a month is of one of them."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.databases import database_copy
from tests.kit.declarations import TWO_EVENTS_TOML
from tests.kit.vault import Vault
from tests.kit.vaults import IMPATIENT

HOME, OFFICE = "198.51.100.7", "203.0.113.9"
WHY = ("--reason", "test")
MONTH = dt.datetime.now(dt.UTC).strftime("%Y-%m")
ORDERS, SIGN_UPS = (f"{event}_{MONTH.replace('-', '_')}" for event in ("orders", "sign_ups"))
JOINED = (
    "SELECT count(*) FROM vault_etl.orders JOIN vault_etl.sign_ups ON masked_home_ip = masked_ip"
)


def sign_up(person: str, home: str, office: str | None = None) -> str:
    """A message of the event `sign_ups`."""
    event = {
        "type": "sign-up",
        "client": {"user": person, "ip": home},
        "is_new": True,
        "card": f"card of {person}",
        "price": 7.5,
    }
    return json.dumps({**event, **({"office": {"ip-address": office}} if office else {})})


def order(buyer: str, ip: str | None = HOME) -> str:
    """A message of the event `orders`."""
    return json.dumps({"type": "order", "buyer": buyer, **({"ip": ip} if ip else {})})


@pytest.fixture(scope="module")
def two(signed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with three sign-ups, four orders, and a message of neither in quarantine."""
    home = tmp_path_factory.mktemp("two")
    (home / "two.toml").write_bytes(TWO_EVENTS_TOML)
    with database_copy(signed.server, "template1") as database:
        settings = {**IMPATIENT, "VAULT_ETL_SCHEMA_FILE": str(home / "two.toml")}
        vault = dataclasses.replace(signed, database=database, home=home, overrides=settings)
        vault.ok("admin", "migrate")
        vault.register_audit_key()
        vault.ok("re-encrypt", "keys", "init")
        vault.renew_queue()
        vault.send(
            [
                *(sign_up("a", HOME, OFFICE), sign_up("b", OFFICE), sign_up("e", HOME)),
                *(order("a"), order("c"), order("d", None), order("e")),
                '{"type": "refund"}',
            ]
        )
        assert vault.ok("ingest", "ingest").json["quarantined"] == 1
        yield vault


def values(vault: Vault) -> set[tuple[str, str, str]]:
    """Each value of the records: its event, name and text."""
    found = vault.sql(
        "SELECT 'orders', record_id::text FROM vault_etl.orders WHERE masked_ip IS NOT NULL"
        " UNION SELECT 'sign_ups', record_id::text FROM vault_etl.sign_ups WHERE masked_home_ip IS NOT NULL"
    )
    events = {record_id: event for event, record_id in found}
    shown = vault.ok("reveal", "reveal", *events, *WHY).lines
    return {
        (events[row["record_id"]], name, text)
        for row in shown
        for name, text in row["fields"].items()
        if text is not None
    }


def test_each_message_is_a_record_of_its_event(two: Vault) -> None:
    """Equal addresses in two events have equal tokens. A message of neither event is quarantined."""
    assert (two.count("sign_ups"), two.count("orders")) == (3, 4)
    assert two.sql("SELECT reason_code FROM vault_etl.quarantine") == [("no_event",)]
    assert two.sql(JOINED) == [(6,)], "three orders and two homes"
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []


def test_a_value_and_a_person_are_found_in_both(two: Vault) -> None:
    """The result says of which event a record is."""
    found = two.ok("reveal", "find", "--field", "ip", *WHY, stdin=HOME).json
    assert sorted((row["event"], row["subject"]) for row in found["records"]) == [
        *(("orders", user) for user in "ace"),
        *(("sign_ups", user) for user in "ae"),
    ]
    found = two.ok("reveal", "find", "--user-id", "a", *WHY).json
    assert sorted(row["event"] for row in found["records"]) == ["orders", "sign_ups"]


def test_duplicates_are_counted_across_events(two: Vault) -> None:
    """`a` and `e` are one person each, with a sign-up and an order."""
    lines = two.ok("analyst", "duplicates", "--field", "ip", "-o", "json").lines
    made = two.ok("reveal", "tokens", "--field", "ip", *WHY, stdin=HOME).stdout.strip()
    (home,) = (line for line in lines if line["token"] == made)
    assert (home["count"], home["users"]) == (5, 3)


def test_the_export_of_a_person_is_of_both(two: Vault, tmp_path: Path) -> None:
    """Each record comes with its event and its values."""
    two.ok("reveal", "subject", "export", "a", *WHY, "--to", str(tmp_path / "a"))
    lines = (tmp_path / "a" / "records.jsonl").read_text(encoding="utf-8").splitlines()
    rows = {row["event"]: row["fields"] for row in map(json.loads, lines)}
    assert rows == {
        "orders": {"ip": HOME},
        "sign_ups": {"home_ip": HOME, "office_ip": OFFICE, "card": "card of a"},
    }


def test_both_are_rotated(two: Vault) -> None:
    """All values open to the same text, under other keys; the tokens are other ones, and join."""
    before, tokens = values(two), two.sql("SELECT masked_ip FROM vault_etl.orders ORDER BY 1")
    assert len(before) == 7
    assert two.ok("re-encrypt", "keys", "rotate", "--yes").json["values_remaining"] == 0
    rotated = two.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes").json
    assert (rotated["rows_retokened"], rotated["rows_remaining"]) == (6, 0)
    assert values(two) == before
    assert two.sql("SELECT masked_ip FROM vault_etl.orders ORDER BY 1") != tokens
    assert two.sql(JOINED) == [(6,)]
    two.ok("audit", "audit", "verify")


def test_a_month_is_of_an_event(two: Vault) -> None:
    """It is detached and attached by its name; the month of the other event takes rows meanwhile."""
    refused = two.run("admin", "partitions", "detach", MONTH, *WHY, "--yes")
    assert refused.code == 2
    assert f"{ORDERS}, {SIGN_UPS}" in refused.stderr
    two.ok("admin", "partitions", "detach", ORDERS, *WHY, "--yes")
    states = {row["partition"]: row for row in two.ok("admin", "partitions", "list").lines}
    assert (states[ORDERS]["event"], states[ORDERS]["state"]) == ("orders", "detached")
    assert states[SIGN_UPS]["state"] == "attached"
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []
    two.send([order("late"), sign_up("in time", HOME)])
    summary = two.ok("ingest", "ingest").json
    assert (summary["stored"], summary["quarantined"]) == (1, 1)
    found = two.ok("reveal", "find", "--field", "ip", *WHY, stdin=HOME)
    assert f"{ORDERS} is detached" in found.stderr
    assert {row["event"] for row in found.json["records"]} == {"sign_ups"}
    card = two.ok("reveal", "find", "--field", "device_id", *WHY, stdin="card of a")
    assert (card.json["count"], "not searched" in card.stderr) == (1, False), "no order has one"
    closed = two.run("admin", "partitions", "ensure", MONTH)
    assert (closed.code, "closed: orders" in closed.stderr) == (78, True)
    for (old,) in two.sql("SELECT key_id FROM vault_etl.data_keys WHERE state = 'decrypt_only'"):
        two.run("rotate", "keys", "destroy", str(old), "--yes")  # to make room in the rows
    two.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    retokened = two.ok("re-encrypt", "partitions", "retoken", ORDERS, *WHY, "--yes").json
    assert retokened["rows_remaining"] == 0
    two.ok("admin", "partitions", "attach", ORDERS, *WHY, "--yes")
    retried = two.ok("re-encrypt", "quarantine", "retry", "--reason-code", "month_closed", "--yes")
    assert retried.json["moved"] == 1
    assert two.count("orders") == 5
    assert two.sql(JOINED) == [(12,)], "four orders and three homes"
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []


def test_an_archive_is_of_an_event(two: Vault, tmp_path: Path) -> None:
    """Both events have an archive of one month in one place. Each comes back as it was, and none as the other."""
    months = {ORDERS: "orders", SIGN_UPS: "sign_ups"}
    rows = "SELECT to_jsonb(r) FROM vault_etl.{} AS r ORDER BY record_id"
    before = {name: two.sql(rows.format(event)) for name, event in months.items()}
    places = {}
    for name in months:
        two.ok("owner", "partitions", "detach", name, *WHY, "--yes")
        archived = two.ok("owner", "partitions", "archive", name, "--to", str(tmp_path), *WHY).json
        places[name] = archived["archive"]
        two.ok("owner", "partitions", "drop", name, *WHY, "--yes")
    other = ("restore", ORDERS, "--from", places[SIGN_UPS], *WHY, "--yes")
    assert two.run("owner", "partitions", *other).code == 65
    for name, event in months.items():
        two.ok("owner", "partitions", "restore", name, *WHY)
        two.ok("owner", "partitions", "attach", name, *WHY, "--yes")
        assert two.sql(rows.format(event)) == before[name]
    assert list(tmp_path.iterdir()) == []
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []


def test_an_erasure_reaches_both_and_their_months(two: Vault) -> None:
    """In the table of one event, and in a detached month of the other. A record id is found in any event."""
    two.ok("admin", "partitions", "detach", ORDERS, *WHY, "--yes")
    certificate = two.ok("erase", "erase", "--user-id", "e", *WHY, "--yes").json
    assert certificate["records"] == 2
    detached = "SELECT record_id FROM vault_etl_detached.{} WHERE buyer = 'c'"
    ((record_id,),) = two.sql(detached.format(ORDERS))
    assert two.ok("erase", "erase", str(record_id), *WHY, "--yes").json["records"] == 1
    two.ok("admin", "partitions", "attach", ORDERS, *WHY, "--yes")
    left = (
        "SELECT count(*) FROM vault_etl.{} WHERE {} = %s AND num_nonnulls(token_generation, {}) > 0"
    )
    assert two.sql(left.format("orders", "buyer", "ip_ciphertext"), "e") == [(0,)]
    assert two.sql(left.format("orders", "buyer", "ip_ciphertext"), "c") == [(0,)]
    assert two.sql(left.format("sign_ups", "person", "home_ip_ciphertext"), "e") == [(0,)]
    assert two.sql(left.format("sign_ups", "person", "home_ip_ciphertext"), "a") == [(1,)]
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []


def test_months_of_the_same_time_are_archived_apart(two: Vault, tmp_path: Path) -> None:
    """Both events have a month of these bounds. Each has an archive, erasures that it lacks, and counts of its own."""
    two.send([sign_up("f", HOME), order("f")])
    assert two.ok("ingest", "ingest").json["stored"] == 2
    for month in (ORDERS, SIGN_UPS):
        two.ok("owner", "partitions", "detach", month, *WHY, "--yes")
        two.ok("owner", "partitions", "archive", month, "--to", str(tmp_path), *WHY)
        two.ok("owner", "partitions", "drop", month, *WHY, "--yes")
    erased = two.run("erase", "erase", "--user-id", "f", *WHY, "--yes")
    assert (erased.code, sorted(erased.json["archives"])) == (75, [ORDERS, SIGN_UPS])
    other = erased.json["archives"][SIGN_UPS]
    wrong = two.run("owner", "partitions", "restore", ORDERS, "--from", other, *WHY)
    assert wrong.code == 65, wrong.stderr
    assert two.ok("owner", "partitions", "restore", ORDERS, *WHY).json["erased"] == 1
    listed = {row["partition"]: row for row in two.ok("owner", "partitions", "list").lines}
    assert (listed[ORDERS]["state"], listed[SIGN_UPS]["state"]) == ("detached", "archived")
    two.ok("owner", "partitions", "attach", ORDERS, *WHY, "--yes")
    left = two.ok("owner", "partitions", "list").lines
    assert [row["erasures_since"] for row in left if row["partition"] == SIGN_UPS] == [1]
    assert two.ok("owner", "partitions", "restore", SIGN_UPS, *WHY).json["erased"] == 1
    two.ok("owner", "partitions", "attach", SIGN_UPS, *WHY, "--yes")
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []
    found = two.ok("reveal", "find", "--field", "ip", *WHY, stdin=HOME).json["records"]
    assert {row["subject"] for row in found} & {"a", "f"} == {"a"}


def test_the_checks_of_the_vault_pass(two: Vault) -> None:
    """`migrate --check` and `doctor` know the tables of both."""
    two.ok("admin", "migrate", "--check")
    checks = {row["check"]: row for row in two.run("admin", "doctor").lines}
    assert [name for name in ("schema", "partitions") if not checks[name]["ok"]] == []


@pytest.fixture
def by_queue(signed: Vault, tmp_path: Path) -> Iterator[Vault]:
    """A vault whose events are told apart by their queues: sign-ups come from the queue of the vault."""
    with database_copy(signed.server, "template1") as database:
        settings = {**IMPATIENT, "VAULT_ETL_SCHEMA_FILE": str(tmp_path / "queues.toml")}
        vault = dataclasses.replace(signed, database=database, home=tmp_path, overrides=settings)
        vault.renew_queue()
        queue = vault.environment("ingest")["VAULT_ETL_QUEUE_URL"].rpartition("/")[2]
        text = re.sub('when = .*"sign-up"}', f'queue = "{queue}"', TWO_EVENTS_TOML.decode())
        text = re.sub('when = .*"order"}', 'queue = "orders"', text)
        (tmp_path / "queues.toml").write_text(text, encoding="utf-8")
        vault.ok("admin", "migrate")
        vault.register_audit_key()
        vault.ok("re-encrypt", "keys", "init")
        yield vault


def test_events_are_told_apart_by_their_queues(by_queue: Vault, tmp_path: Path) -> None:
    """A retry knows the queue of a message. Of a file, the event is said; otherwise nothing of it is loaded."""
    two, lines = by_queue, tmp_path / "lines.jsonl"
    two.send([sign_up("a", HOME)])
    assert two.ok("ingest", "ingest").json["stored"] == 1
    lines.write_text(f"{order('b')}\n{order('c' * 65)}\n", encoding="utf-8")
    load = ("ingest", "--file", str(lines))
    for options in ((), ("--dry-run",), ("--event", "refunds")):
        refused = two.run("ingest", *load, *options)
        assert refused.code == 2
        assert ("--event" in refused.stderr, "orders" in refused.stderr) == (True, True)
    planned = two.ok("ingest", *load, "--event", "orders", "--dry-run").json
    assert (planned["events"], planned["quarantined"]) == (1, 1)
    summary = two.ok("ingest", *load, "--event", "orders").json
    assert (summary["stored"], summary["quarantined"]) == (1, 1)
    assert (two.count("sign_ups"), two.count("orders")) == (1, 1)
    two.ok("admin", "partitions", "detach", SIGN_UPS, *WHY, "--yes")
    two.send([sign_up("late", HOME)])
    assert two.ok("ingest", "ingest").json["quarantined"] == 1
    two.ok("admin", "partitions", "attach", SIGN_UPS, *WHY, "--yes")
    assert two.ok("re-encrypt", "quarantine", "retry", "--all", "--yes").json["moved"] == 1
    assert (two.count("sign_ups"), two.count("orders")) == (2, 1)
    assert two.sql("SELECT reason_code, queue FROM vault_etl.quarantine") == [
        ("field_too_long", "orders")
    ]
