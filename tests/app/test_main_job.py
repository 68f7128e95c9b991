"""The main job through the real command: seed, ingest, duplicates, reveal, and the record of it."""

from __future__ import annotations

from collections import defaultdict

import pytest

from tests.kit.samples import UNKNOWN, a_record, stored_samples
from tests.kit.vault import Vault, sample_events


def test_the_samples_are_stored_or_quarantined_and_the_queue_is_empty(vault: Vault) -> None:
    """99 of the 100 sample events are stored, one is quarantined, and nothing is left in the queue."""
    vault.send(sample_events())
    summary = vault.ok("ingest", "ingest").json
    assert summary == {
        "received": 100,
        "stored": 99,
        "duplicates": 0,
        "quarantined": 1,
        "already_quarantined": 0,
        "given_back": 0,
        "deleted": 100,
        "left_in_flight": 0,
        "left_delayed": 0,
        "seconds": summary["seconds"],
        "messages_per_second": summary["messages_per_second"],
        "extra_fields": 0,
        "extra_field_names": {},
    }
    assert vault.depth() == (0, 0, 0)
    assert (vault.count("user_logins"), vault.count("quarantine")) == (99, 1)


@pytest.mark.parametrize("field", ["ip", "device_id"])
def test_duplicates_are_those_of_the_events(loaded: Vault, field: str) -> None:
    """The command prints how many events and users share each shared value, and no other value."""
    users = defaultdict(list)
    for event in stored_samples():
        users[event[field]].append(event["user_id"])
    expected = sorted((len(ids), len(set(ids))) for ids in users.values() if len(ids) > 1)
    lines = loaded.ok("analyst", "duplicates", "--field", field, "--limit", "1000").lines
    assert sorted((line["count"], line["users"]) for line in lines) == expected
    assert all(
        set(line) == {"token", "count", "users", "first_seen", "last_seen"} for line in lines
    )
    assert [line["count"] for line in lines] == sorted((n for n, _ in expected), reverse=True)


def test_duplicates_can_be_cut(loaded: Vault) -> None:
    """`--min-count` and `--limit` leave out what they say."""
    lines = loaded.ok("analyst", "duplicates", "-f", "ip", "--min-count", "3").lines
    assert lines
    assert all(line["count"] >= 3 for line in lines)
    assert len(loaded.ok("analyst", "duplicates", "-f", "ip", "--limit", "2").lines) == 2


@pytest.mark.parametrize("field", ["ip", "device_id"])
def test_rows_share_a_token_exactly_where_events_share_a_value(loaded: Vault, field: str) -> None:
    """Two rows have one token if, and only if, their events have one value."""
    rows = loaded.sql(f"SELECT user_id, masked_{field} FROM user_logins")  # noqa: S608 - a declared name
    tokens = dict(rows)
    pairs = {(event[field], tokens[event["user_id"]]) for event in stored_samples()}
    assert len(pairs) == len({value for value, _ in pairs}) == len({token for _, token in pairs})


def test_reveal_recovers_what_was_sent(loaded: Vault) -> None:
    """Every one of the 99 records opens to the very address and device that were sent."""
    sent = {event["user_id"]: event for event in stored_samples()}
    users = {str(i): u for i, u in loaded.sql("SELECT record_id, user_id FROM user_logins")}
    lines = loaded.ok("reveal", "reveal", *users, "--reason", "all of them").lines
    assert len(lines) == 99
    for line in lines:
        event = sent[users[line["record_id"]]]
        assert line["fields"] == {"ip": event["ip"], "device_id": event["device_id"]}
        assert line["user_id"] == event["user_id"]
        assert line["checkpoint"]
        assert isinstance(line["audit_seq"], int)
        assert len(bytes.fromhex(line["audit_hash"])) == 32


def test_reveal_of_one_field_recovers_no_other(loaded: Vault) -> None:
    """`--field ip` gives the address alone, and `--output value` nothing but it."""
    record_id, user_id = a_record(loaded)
    ip = next(e["ip"] for e in stored_samples() if e["user_id"] == user_id)
    asked = ("reveal", record_id, "--field", "ip", "--reason", "abuse report")
    assert loaded.ok("reveal", *asked).json["fields"] == {"ip": ip}
    assert loaded.ok("reveal", *asked, "--output", "value").stdout == f"{ip}\n"


def test_a_reveal_is_on_the_record(loaded: Vault) -> None:
    """The log has its intent, then its outcome: who by AWS's word, which record, which fields, why."""
    record_id, _ = a_record(loaded)
    asked = ("--reason", "  charge\tback\n4711 ", "--purpose", "fraud", "--ticket", "T-1")
    shown = loaded.ok("reveal", "reveal", record_id, *asked).json
    entries = loaded.ok("audit", "audit", "list", "--record", record_id).lines[-2:]
    assert [(e["phase"], e["decision"]) for e in entries] == [
        ("intent", "allowed"),
        ("outcome", "done"),
    ]
    assert entries[0]["seq"] == shown["audit_seq"] == entries[1]["seq"] - 1
    assert entries[0]["hash"] == shown["audit_hash"] == entries[1]["prev_hash"]
    for entry in entries:
        assert entry["actor"] == loaded.actor("reveal")
        assert entry["login"] == "test_reveal"
        assert (entry["action"], entry["record_id"]) == ("reveal", record_id)
        assert entry["fields"] == ["device_id", "ip"]
        assert entry["reason"] == "charge back 4711"
        assert (entry["purpose"], entry["ticket"]) == ("fraud", "T-1")
        assert entry["request_id"] == entries[0]["request_id"]
        assert entry["client_address"] == "127.0.0.1"


def test_a_reveal_of_an_unknown_id_is_on_the_record_too(loaded: Vault) -> None:
    """An unknown id leaves an intent and a failed outcome that gives the reason."""
    assert loaded.run("reveal", "reveal", UNKNOWN, "--reason", "a guess").code == 66
    intent, outcome = loaded.ok("audit", "audit", "list", "--record", UNKNOWN).lines[-2:]
    assert (intent["phase"], intent["decision"]) == ("intent", "allowed")
    assert (outcome["decision"], outcome["error_code"]) == ("failed", "not_found")


def test_the_log_can_be_asked(loaded: Vault) -> None:
    """`audit list` finds entries by actor and by login, and none from the future."""
    arn = loaded.actor("re-encrypt")
    by_arn = loaded.ok("audit", "audit", "list", "--actor", arn).lines
    by_login = loaded.ok("audit", "audit", "list", "--actor", "test_re_encrypt").lines
    assert by_arn == by_login
    assert "keys init" in {entry["action"] for entry in by_arn}
    assert loaded.ok("audit", "audit", "list", "--since", "2999-01-01").lines == []


def test_keys_list_counts_what_needs_each_key(loaded: Vault) -> None:
    """Two token keys, the source key and three data keys, active, each with the number of values that need it."""
    keys = loaded.ok("audit", "keys", "list").lines
    assert {(k["purpose"], k["field"], k["state"], k["rows"]) for k in keys} == {
        ("token", "ip", "active", 99),
        ("token", "device_id", "active", 99),
        ("data", "ip", "active", 99),
        ("data", "device_id", "active", 99),
        ("data", "quarantine", "active", 1),
        ("source", "source", "active", 0),
    }
    assert "wrapped_key" not in keys[0]
    assert "fingerprint" not in keys[0]
