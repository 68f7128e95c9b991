"""`find` through the real command: the holders of a value are shown, on the record, and the value nowhere."""

from __future__ import annotations

import json
import subprocess
import uuid

import pytest

from tests.attacks.leaks.search import found
from tests.kit.dumps import dump
from tests.kit.holders import ADDRESS, DEVICE, Ask, users
from tests.kit.processes import fails, terminal
from tests.kit.proxy import FaultProxy
from tests.kit.vault import Result, Vault


@pytest.mark.parametrize(
    "value", [ADDRESS, f"  {ADDRESS} ", f"::ffff:{ADDRESS}", "::FFFF:c633:644d", f"{ADDRESS}\r"]
)
def test_every_spelling_of_an_address_finds_its_records(ask: Ask, value: str) -> None:
    """One canonical form has one token: all three users are found, and the fourth is not."""
    assert users(ask(value)) == ["ann", "bob", "cyd"]


def test_a_device_is_found_as_it_is_written(ask: Ask) -> None:
    """White space around the id does not count; case makes another device."""
    assert users(ask(DEVICE, "device_id")) == ["ann", "bob"]
    assert users(ask(DEVICE.upper(), "device_id")) == ["dan"]


def test_the_answer_is_one_object(held: Vault, ask: Ask) -> None:
    """The object has token, count, the records without their values, and the entry of the log."""
    answer = ask(ADDRESS).json
    assert set(answer) == {
        *("token", "placeholder", "count", "records"),
        *("audit_seq", "audit_hash", "not_searched", "checkpoint"),
    }
    assert answer["placeholder"] is None
    assert answer["not_searched"] == []
    rows = held.sql(
        "SELECT record_id::text, user_id, create_date::text, event_time FROM user_logins WHERE masked_ip = %s"
        " ORDER BY record_id DESC",
        uuid.UUID(answer["token"]),
    )
    keys = ("record_id", "user_id", "create_date", "event_time")
    assert answer["records"] == [dict(zip(keys, row, strict=True)) for row in rows]
    assert answer["count"] == 3
    assert answer["checkpoint"].startswith("vault-etl/audit/")


def test_the_count_is_of_all_and_the_list_of_the_newest(ask: Ask) -> None:
    """`--limit` cuts the list alone."""
    every, cut = ask(ADDRESS).json, ask(ADDRESS, "ip", "--limit", "2").json
    assert cut["records"] == every["records"][:2]
    assert cut["count"] == 3


def test_a_placeholder_is_named_as_one(ask: Ask) -> None:
    """An answer about "unknown", in any case, says that it is no device."""
    answers = [ask(text, "device_id").json for text in ("unknown", " UNKNOWN ", "unknown-1")]
    assert [answer["placeholder"] for answer in answers] == ["unknown", "unknown", None]
    assert answers[0]["token"] == answers[1]["token"]


def test_a_value_without_records_is_no_failure(ask: Ask) -> None:
    """Exit 0, count 0, no record: this is an answer, and on the record."""
    answer = ask("203.0.113.99").json
    assert (answer["count"], answer["records"]) == (0, [])


def test_a_search_is_on_the_record_without_value_and_token(held: Vault, ask: Ask) -> None:
    """The entry has action, field, reason, purpose and ticket, but neither the value nor its token."""
    asked = ask(ADDRESS, "ip", "--purpose", "abuse", "--ticket", "T-1").json
    intent, outcome = held.ok("audit", "audit", "list").lines[-2:]
    assert (intent["seq"], intent["hash"]) == (asked["audit_seq"], asked["audit_hash"])
    assert [(e["phase"], e["decision"]) for e in (intent, outcome)] == [
        ("intent", "allowed"),
        ("outcome", "done"),
    ]
    for entry in (intent, outcome):
        assert (entry["action"], entry["fields"], entry["record_id"]) == ("find", ["ip"], None)
        assert (entry["reason"], entry["purpose"], entry["ticket"]) == ("a test", "abuse", "T-1")
        assert asked["token"] not in json.dumps(entry)
        assert ADDRESS not in json.dumps(entry)


def test_kms_opens_the_token_key_of_that_field_alone(held: Vault) -> None:
    """No data key, and no key of the other field: one Decrypt succeeds, under the context of `ip`."""
    with FaultProxy(held.endpoint) as kms:
        held.ok(
            "reveal",
            *("find", "--field", "ip", "--reason", "x"),
            stdin=ADDRESS,
            extra={"AWS_ENDPOINT_URL_KMS": kms.url},
        )
    contexts = [
        json.loads(call.body)["EncryptionContext"]
        for call in kms.calls
        if call.operation == "Decrypt"
    ]
    # The second proves that this KMS checks the context: the call has to fail.
    assert [(c["purpose"], c["field"]) for c in contexts] == [("token", "ip")] * 2
    assert contexts[0]["key_id"] != contexts[1]["key_id"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ip", "198.51.100.777"),
        ("ip", "198.51.100.77:443"),
        ("ip", "198.51.100.0/33"),
        ("ip", "198.51.100.9-198.51.100.7"),
        ("device_id", " \u2003 "),
        ("ip", "fe80::77%eth0"),
        ("ip", "198.051.100.077"),
        ("ip", "canary.example.test"),
        ("device_id", " \u00a0 "),
    ],
)
def test_a_value_that_the_field_cannot_hold_is_refused(
    held: Vault, ask: Ask, field: str, value: str
) -> None:
    """Exit 2, before there is an entry, and the value is not in the message."""
    before = held.count("audit_log")
    result = ask(value, field)
    fails(result, 2, f"the field {field}")
    assert value.strip() == "" or value not in result.stderr
    assert held.count("audit_log") == before


@pytest.mark.parametrize(
    ("stdin", "why"),
    [
        ("", "no value on standard input"),
        ("\n\n", "no value on standard input"),
        ("x" * 5000, "a value on standard input is longer than"),
        ("1\n" * 65_537, "more than 65,536 values"),
    ],
    ids=["nothing", "blank lines", "too long", "too many"],
)
def test_wrong_standard_input_is_refused(held: Vault, stdin: str, why: str) -> None:
    """Empty, too long and too many lines are refused, not searched in part."""
    result = held.run("reveal", "find", "-f", "ip", "--reason", "x", stdin=stdin)
    fails(result, 2, why)
    assert ADDRESS not in result.stderr


def test_bytes_that_are_not_text_are_refused(held: Vault) -> None:
    """Bytes that are not UTF-8 are not a device id, and not a bug."""
    done = subprocess.run(
        held.command("find", "-f", "device_id", "--reason", "x"),
        env=held.environment("reveal"),
        cwd=held.home,
        input=b"device \xff",
        capture_output=True,
        check=False,
    )
    result = Result(done.returncode, done.stdout.decode(), done.stderr.decode())
    fails(result, 2, "the field device_id")


def test_the_last_line_needs_no_end(held: Vault) -> None:
    """`printf` is as good as `echo`."""
    asked = ("find", "-f", "ip", "--reason", "x")
    assert users(held.run("reveal", *asked, stdin=ADDRESS)) == ["ann", "bob", "cyd"]


def test_there_is_no_way_to_give_the_value_on_the_command_line(held: Vault) -> None:
    """An argument is refused, and not repeated in the error."""
    result = held.run("reveal", "find", "-f", "ip", "--reason", "x", ADDRESS, stdin=ADDRESS)
    fails(result, 2, "a value must not be given on the command line")
    assert ADDRESS not in result.stderr


def test_the_transcript_on_a_terminal(held: Vault) -> None:
    """Reason and value are asked for, the value is not echoed, and two tables come."""
    with terminal(held, "reveal", "find", "-f", "ip", extra={"TERM": "dumb"}) as shown:
        shown.expect("Reason: ")
        shown.type("typed by hand")
        shown.expect("Value of ip: ")
        shown.type(ADDRESS)
        result = shown.finish()
    assert result.code == 0, result.stdout
    assert ADDRESS not in result.stdout
    words = result.stdout.split()
    assert words[words.index("count") + 1] == "3"
    assert "record id" in result.stdout
    for user, record_id in held.sql("SELECT user_id, record_id::text FROM user_logins"):
        assert (record_id in words) is (user in {"ann", "bob", "cyd"})
    last = "SELECT action, reason FROM audit_log ORDER BY seq DESC LIMIT 1"
    assert held.sql(last) == [("find", "typed by hand")]


def test_the_value_is_nowhere_afterwards(held: Vault) -> None:
    """The value is not in standard error at any log level, the database, its log, or any file."""
    seen = ""
    for field, value in (("ip", ADDRESS), ("device_id", DEVICE)):
        asked = ("find", "-f", field, "--reason", "x", "--verbose")
        done = held.ok("reveal", *asked, stdin=value)
        seen += done.stdout + done.stderr
    assert found((ADDRESS, DEVICE), seen.encode()) == set()
    assert found((ADDRESS, DEVICE), dump(held)) == set()
    assert found((ADDRESS, DEVICE), held.server.log.read_bytes()) == set()
