"""Output of the log's commands, word for word, on a terminal and in a pipe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.audit.people import ADDRESSES, DEVICE
from tests.kit.events import event
from tests.kit.processes import on_terminal, terminal
from tests.kit.transcripts import NOTE, PLAIN, steady
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault


@pytest.fixture(scope="module")
def one(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with one record, whose entries are counted."""
    body = event(ip=ADDRESSES[0], device_id=DEVICE)
    with filled_vault(keyed, tmp_path_factory.mktemp("one"), [body]) as vault:
        yield vault


@pytest.fixture
def the_id(one: Vault) -> str:
    """The id of its record."""
    ((found,),) = one.sql("SELECT record_id::text FROM user_logins")
    return str(found)


def shown(vault: Vault, role: str, *args: str) -> str:
    """Return the terminal output of a command that succeeds."""
    result = on_terminal(vault, role, *args, extra=PLAIN)
    assert result.code == 0, result.stdout
    return steady(result.stdout)


def test_reveal_on_a_terminal(one: Vault, the_id: str) -> None:
    """The terminal asks for the reason, and shows the values, the entry and the receipt."""
    with terminal(one, "reveal", "reveal", the_id, "--masked", extra=PLAIN) as screen:
        screen.expect("Reason: ")
        screen.type("chargeback 4711")
        result = screen.finish()
    assert result.code == 0
    text = re.sub(r"(?<=seq    )\d+", "<n>", steady(result.stdout))
    assert text == (
        "chargeback 4711\n"
        "record id    <uuid>\n"
        "user id      <uuid>\n"
        "create date  <day>\n"
        "fields       ip: *.*.*.77\n"
        "             device_id: *11\n"
        "audit seq    <n>\n"
        "audit hash   <sha256>\n"
        "\n"
        "Keep this receipt (vault-etl audit verify):\n"
        "\n" + NOTE + "\n"
    )


def test_reveal_in_a_pipe(one: Vault, the_id: str) -> None:
    """Each line is one object; ids come from standard input as well, and a repeated id is one access."""
    before = one.count("audit_log")
    done = one.ok("reveal", "reveal", "--reason", "x", "--quiet", stdin=f"{the_id}\n\n {the_id} \n")
    assert one.count("audit_log") == before + 2
    (first,) = done.lines
    assert first["audit_seq"] == before + 1
    assert first["fields"] == {"ip": ADDRESSES[0], "device_id": DEVICE}
    assert steady(first["checkpoint"]) == NOTE
    assert done.stderr == ""


def test_reveal_of_the_value_alone(one: Vault, the_id: str) -> None:
    """A pipe gets one line a value, and the dash means standard input."""
    asked = ("reveal", "-", "--reason", "x", "--output", "value", "--quiet")
    assert one.ok("reveal", *asked, stdin=the_id).stdout == f"{ADDRESSES[0]}\n{DEVICE}\n"


def test_a_reveal_that_is_denied(one: Vault, the_id: str) -> None:
    """The terminal shows two lines, and no value."""
    one.set_policy({"reveals_an_hour": 0, "purposes": {}})
    try:
        asked = ("reveal", "reveal", the_id, "--reason", "x")
        result = on_terminal(one, *asked, extra=PLAIN)
    finally:
        one.set_policy({"reveals_an_hour": 100_000, "purposes": {}})
    assert result.code == 77
    assert result.stdout == (
        "vault-etl: error: the reveal policy's quota for one hour is used up\n"
        "vault-etl: hint: `vault-etl audit policy` says until when; the denial is on the record\n"
    )


def test_verify(one: Vault) -> None:
    """A terminal shows a table and a warning; a pipe gets an object, and the warning beside it."""
    text = shown(one, "audit", "audit", "verify")
    assert re.sub(r"  \d+$", "  <n>", text, flags=re.MULTILINE) == (
        "entries      <n>\n"
        "head seq     <n>\n"
        "head hash    <sha256>\n"
        "checkpoints  <n>\n"
        "unfinished   -\n"
        "unsigned     -\n"
        "unread       -\n"
        "ok           yes\n"
        "counts       tampered: 0\n"
        "             unproven: 0\n"
        "             noise: 0\n"
        "             unfinished: 0\n"
        "             unsigned: 0\n"
        "\n"
        "no problems\n"
        "vault-etl: warning: without a --checkpoint from outside the database, a log that was cut"
        " off or rewritten goes unnoticed\n"
    )
    done = one.ok("audit", "audit", "verify")
    assert list(done.json) == [
        *(
            "entries",
            "head_seq",
            "head_hash",
            "checkpoints",
            "unfinished",
            "unsigned",
            "unread",
            "ok",
        ),
        *("counts", "problems"),
    ]
    assert done.stderr.startswith("vault-etl: warning: without a --checkpoint")
    assert one.ok("audit", "audit", "verify", "--quiet").stderr == ""


def test_checkpoint(one: Vault) -> None:
    """A terminal shows the signed note; a pipe gets an object."""
    assert shown(one, "audit", "audit", "checkpoint") == NOTE
    made = one.ok("audit", "audit", "checkpoint").json
    assert list(made) == ["seq", "hash", "checkpoint"]
    assert steady(made["checkpoint"]) == NOTE


def test_policy(one: Vault) -> None:
    """The policy as it is set, shown and piped: the pipe's object can be set again."""
    rule = {"fields": ["ip"], "masked_fields": ["device_id"], "ticket_pattern": "F-[0-9]+"}
    text = json.dumps({"purposes": {"fraud": rule}})
    done = one.ok("admin", "audit", "policy", "set", "-", "--reason", "CISO-1", stdin=text)
    try:
        assert done.json == {
            "reveals_an_hour": 50,
            "tokens_an_hour": 10_000,
            "purposes": {"fraud": rule},
            "audit_seq": one.count("audit_log"),
            "audit_hash": done.json["audit_hash"],
        }
        assert shown(one, "audit", "audit", "policy") == (
            "reveals an hour  50\n"
            "tokens an hour   10000\n"
            "purpose  fields  masked fields  ticket pattern\n"
            "fraud    ip      device_id      F-[0-9]+\n"
        )
        piped = one.ok("audit", "audit", "policy").stdout
        assert json.loads(piped) == {
            "reveals_an_hour": 50,
            "tokens_an_hour": 10_000,
            "purposes": {"fraud": rule},
        }
        asked = ("audit", "policy", "set", "-", "--reason", "the same")
        assert one.ok("admin", *asked, stdin=piped).json["purposes"] == {"fraud": rule}
    finally:
        one.set_policy({"reveals_an_hour": 100_000, "purposes": {}})


def test_list(one: Vault, the_id: str) -> None:
    """The newest entry is last; each shows the request and its result."""
    one.ok("reveal", "reveal", the_id, "--reason", "why")
    asked = ("audit", "list", "--record", the_id)
    lines = shown(one, "audit", *asked).splitlines()[-6:]
    intent, outcome = lines[0], lines[3]
    assert re.fullmatch(r"\d+ +<time>  test_reveal  reveal +allowed", intent)
    assert re.fullmatch(r"\d+ +<time>  test_reveal  reveal +done", outcome)
    below = ["      record id: <uuid>  fields: device_id, ip", "      reason: why"]
    assert lines[1:3] == lines[4:] == below
    last = one.ok("audit", *asked).lines[-1]
    assert list(last) == [
        *("seq", "time", "request_id", "phase", "login", "client_address", "actor", "host"),
        *("action", "record_id", "fields", "purpose", "ticket", "reason", "decision"),
        *("error_code", "prev_hash", "hash"),
    ]
