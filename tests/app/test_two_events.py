"""A vault of two events: each command reaches the records of both, and a month is of one of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.two_events import HOME, OFFICE, WHY, order, sign_up
from tests.kit.declarations import TWO_EVENTS_TOML
from tests.kit.months import name_of, this_month
from tests.kit.vault import Vault
from tests.kit.vaults import declared_vault

JOINED = (
    "SELECT count(*) FROM vault_etl.orders JOIN vault_etl.sign_ups ON masked_home_ip = masked_ip"
)


@pytest.fixture(scope="module")
def two(signed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with three sign-ups, four orders, and a message of neither in quarantine."""
    with declared_vault(signed, tmp_path_factory.mktemp("two"), TWO_EVENTS_TOML) as vault:
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


def make_room(vault: Vault) -> None:
    """Take the tokens of an old generation out of the rows, so that another rotation can begin."""
    old = (
        "SELECT key_id FROM vault_etl.data_keys WHERE purpose = 'token' AND state = 'decrypt_only'"
    )
    for (key_id,) in vault.sql(old):
        vault.run("rotate", "keys", "destroy", str(key_id), "--yes")


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
    month, orders, sign_ups = this_month(two), name_of(0, "orders"), name_of(0, "sign_ups")
    refused = two.run("admin", "partitions", "detach", month, *WHY, "--yes")
    assert refused.code == 2
    assert f"{orders}, {sign_ups}" in refused.stderr
    two.ok("admin", "partitions", "detach", orders, *WHY, "--yes")
    states = {row["partition"]: row for row in two.ok("admin", "partitions", "list").lines}
    assert (states[orders]["event"], states[orders]["state"]) == ("orders", "detached")
    assert states[sign_ups]["state"] == "attached"
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []
    two.send([order("late"), sign_up("in time", HOME)])
    summary = two.ok("ingest", "ingest").json
    assert (summary["stored"], summary["quarantined"]) == (1, 1)
    found = two.ok("reveal", "find", "--field", "ip", *WHY, stdin=HOME)
    assert f"{orders} is detached" in found.stderr
    assert {row["event"] for row in found.json["records"]} == {"sign_ups"}
    card = two.ok("reveal", "find", "--field", "card", *WHY, stdin="card of a")
    assert (card.json["count"], "not searched" in card.stderr) == (1, False), "no order has one"
    closed = two.run("admin", "partitions", "ensure", month)
    assert (closed.code, "closed: orders" in closed.stderr) == (78, True)
    make_room(two)
    two.ok("re-encrypt", "keys", "rotate", "--tokens", "--yes")
    retokened = two.ok("re-encrypt", "partitions", "retoken", orders, *WHY, "--yes").json
    assert retokened["rows_remaining"] == 0
    two.ok("admin", "partitions", "attach", orders, *WHY, "--yes")
    retried = two.ok("re-encrypt", "quarantine", "retry", "--reason-code", "month_closed", "--yes")
    assert retried.json["moved"] == 1
    assert two.count("orders") == 5
    assert two.sql(JOINED) == [(12,)], "four orders and three homes"
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []


def test_an_erasure_reaches_both_and_their_months(two: Vault) -> None:
    """In the table of one event, and in a detached month of the other. A record id is found in any event."""
    orders = name_of(0, "orders")
    two.ok("admin", "partitions", "detach", orders, *WHY, "--yes")
    certificate = two.ok("erase", "erase", "--user-id", "e", *WHY, "--yes").json
    assert certificate["records"] == 2
    detached = "SELECT record_id FROM vault_etl_detached.{} WHERE buyer = 'c'"
    ((record_id,),) = two.sql(detached.format(orders))
    assert two.ok("erase", "erase", str(record_id), *WHY, "--yes").json["records"] == 1
    two.ok("admin", "partitions", "attach", orders, *WHY, "--yes")
    left = (
        "SELECT count(*) FROM vault_etl.{} WHERE {} = %s AND num_nonnulls(token_generation, {}) > 0"
    )
    assert two.sql(left.format("orders", "buyer", "ip_ciphertext"), "e") == [(0,)]
    assert two.sql(left.format("orders", "buyer", "ip_ciphertext"), "c") == [(0,)]
    assert two.sql(left.format("sign_ups", "person", "home_ip_ciphertext"), "e") == [(0,)]
    assert two.sql(left.format("sign_ups", "person", "home_ip_ciphertext"), "a") == [(1,)]
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []


def test_an_archive_is_of_an_event(two: Vault, tmp_path: Path) -> None:
    """Both events have an archive of one month in one place, with erasures that it lacks. Each comes back as it was."""
    orders, sign_ups = name_of(0, "orders"), name_of(0, "sign_ups")
    months = {orders: ("orders", "buyer"), sign_ups: ("sign_ups", "person")}
    rows = "SELECT to_jsonb(r) FROM vault_etl.{} AS r WHERE {} <> 'f' ORDER BY record_id"
    two.send([sign_up("f", HOME), order("f")])
    assert two.ok("ingest", "ingest").json["stored"] == 2
    before = {name: two.sql(rows.format(*of)) for name, of in months.items()}
    for name in months:
        two.ok("owner", "partitions", "detach", name, *WHY, "--yes")
        two.ok("owner", "partitions", "archive", name, "--to", str(tmp_path), *WHY)
        two.ok("owner", "partitions", "drop", name, *WHY, "--yes")
    erased = two.run("erase", "erase", "--user-id", "f", *WHY, "--yes")
    places = erased.json["archives"]
    assert (erased.code, sorted(places)) == (75, [orders, sign_ups])
    other = ("restore", orders, "--from", places[sign_ups], *WHY, "--yes")
    assert two.run("owner", "partitions", *other).code == 65
    waiting = [orders, sign_ups]
    for name, of in months.items():
        listed = two.ok("owner", "partitions", "list").lines
        assert [row["partition"] for row in listed if row["erasures_since"]] == waiting
        assert two.ok("owner", "partitions", "restore", name, *WHY).json["erased"] == 1
        two.ok("owner", "partitions", "attach", name, *WHY, "--yes")
        waiting.remove(name)
        assert two.sql(rows.format(*of)) == before[name]
    assert list(tmp_path.iterdir()) == []
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []


def test_a_rotation_is_aborted_and_a_record_left_out_in_both(two: Vault) -> None:
    """Next tokens are taken away in both tables. A record is left out of the table of its event."""
    two.send([order("g")])
    two.ok("ingest", "ingest")
    ((bad,),) = two.sql(
        "UPDATE vault_etl.orders SET ip_ciphertext = set_byte(ip_ciphertext, 30, 255 - get_byte(ip_ciphertext, 30))"
        " WHERE buyer = 'g' RETURNING record_id::text"
    )
    make_room(two)
    rotate = ("keys", "rotate", "--tokens", "--yes")
    failed = two.run("re-encrypt", *rotate)
    assert (failed.code, bad in failed.stderr) == (65, True)
    two.send([sign_up("h", HOME), order("h")])
    two.ok("ingest", "ingest")
    pending = [
        f"SELECT count(*) > 0 FROM vault_etl.{event} WHERE next_token_generation IS NOT NULL"  # noqa: S608 - a declared name
        for event in ("orders", "sign_ups")
    ]
    assert [two.sql(statement) for statement in pending] == [[(True,)], [(True,)]]
    two.ok("re-encrypt", *rotate, "--abort")
    assert [two.sql(statement) for statement in pending] == [[(False,)], [(False,)]]
    assert two.ok("re-encrypt", *rotate, "--leave-out", bad).json["rows_left_out"] == 1
    assert two.sql("SELECT masked_ip FROM vault_etl.orders WHERE buyer = 'g'") == [(None,)]
    found = two.ok("reveal", "find", "--field", "ip", *WHY, stdin=HOME).json["records"]
    assert {(row["event"], row["subject"]) for row in found} >= {("orders", "h"), ("sign_ups", "h")}
    assert two.sql("SELECT * FROM vault_etl.values_miscounted()") == []


def test_the_checks_of_the_vault_pass(two: Vault) -> None:
    """`migrate --check` and `doctor` know the tables of both."""
    two.ok("admin", "migrate", "--check")
    checks = {row["check"]: row for row in two.run("admin", "doctor").lines}
    assert [name for name in ("schema", "partitions") if not checks[name]["ok"]] == []
