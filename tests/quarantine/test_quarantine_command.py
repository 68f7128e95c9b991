"""`quarantine list` and `show`: what is there and why, and the body only on the record."""

from __future__ import annotations

import base64
import datetime as dt
import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.kit.denials import APPEND, MAY_APPEND, REVOKE, access_key
from tests.kit.events import event
from tests.kit.processes import fails, on_terminal, terminal
from tests.kit.proxy import Call, FaultProxy
from tests.kit.quarantined import FLIP, MOVE, quarantine
from tests.kit.samples import UNKNOWN
from tests.kit.transcripts import plain
from tests.kit.vault import Vault
from tests.kit.vaults import IMPATIENT, copied
from vault_etl.event.rejection import Reason

STEERING = '{"ip": "203.0.113.9", "user_id": "\x1b[2J\x1b]0;owned\x07"}\r\n ip: 1.2.3.4 \u202e é'
LIST = ("quarantine", "list")
SHOW = ("quarantine", "show", UNKNOWN, "--reason", "x")
GENEROUS: dict[str, object] = {"reveals_an_hour": 100_000, "purposes": {}}
BYTES = b"\xff\xfe\x00 no text \n"


@dataclass(frozen=True, slots=True)
class Quarantine:
    """A vault with three quarantined messages and an erased one, by their record ids, oldest first."""

    vault: Vault
    ids: list[str]
    text: str
    raw: str
    erased: str

    def show(self, record_id: str) -> tuple[str, ...]:
        """The command that shows it."""
        return ("quarantine", "show", record_id, "--reason", "a test asks")


@pytest.fixture(scope="module")
def held(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quarantine]:
    """Yield one vault for all tests that change nothing."""
    with copied(keyed, tmp_path_factory.mktemp("held")) as vault:
        vault.overrides.update(IMPATIENT)
        vault.set_policy(GENEROUS)
        (text,) = quarantine(vault, STEERING.encode(), reason=Reason.NOT_JSON)
        (raw,) = quarantine(vault, BYTES, reason=Reason.NOT_UTF8)
        erased, last = quarantine(vault, b"{}", b"[]", reason=Reason.FIELD_NULL, path="$.user_id")
        vault.sql("UPDATE quarantine SET body_ciphertext = NULL WHERE record_id = %s", erased)
        yield Quarantine(vault, [text, raw, erased, last], text, raw, erased)


def test_list_shows_id_reason_and_times(held: Quarantine) -> None:
    """A pipe gets one JSON object a line, the newest last, with the time of sending from the id."""
    lines = held.vault.ok("reveal", "quarantine", "list").lines
    assert [line["record_id"] for line in lines] == held.ids
    assert [(line["reason_code"], line["path"]) for line in lines] == [
        ("not_json", "$"),
        ("not_utf8", "$"),
        ("field_null", "$.user_id"),
        ("field_null", "$.user_id"),
    ]
    for line in lines:
        assert set(line) == {
            "record_id",
            "reason_code",
            "path",
            "receive_count",
            "quarantined_at",
            "sent_at",
            "source",
        }
        assert line["receive_count"] == 1
        sent, came = (
            dt.datetime.fromisoformat(line[name]) for name in ("sent_at", "quarantined_at")
        )
        assert abs(came - sent) < dt.timedelta(minutes=1)


def test_list_is_a_table_on_a_terminal(held: Quarantine) -> None:
    """Each with its reason, its path and its times, in lines of 80 columns."""
    lines = held.vault.ok("reveal", "quarantine", "list").lines
    shown = plain(on_terminal(held.vault, "reveal", "quarantine", "list").stdout)
    for line in lines:
        row, below = shown[shown.index(line["record_id"]) :].splitlines()[:2]
        assert row.split() == [line["record_id"], line["quarantined_at"], line["reason_code"]]
        assert below.strip().startswith(f"path: {line['path']}  sent at: {line['sent_at']}")
    assert max(map(len, shown.splitlines())) <= 80


def test_list_filters_and_limits(held: Quarantine) -> None:
    """By reason and time; a limit keeps the newest."""

    def ids(*args: str) -> list[str]:
        return [line["record_id"] for line in held.vault.ok("reveal", *LIST, *args).lines]

    assert ids("--reason-code", "not_utf8") == [held.raw]
    assert ids("--limit", "2") == held.ids[2:]
    assert ids("--reason-code", "field_null", "--limit", "1") == held.ids[3:]
    assert ids("--since", "2026-01-31") == held.ids
    assert ids("--since", "2100-01-31") == []


def test_a_summary_counts_by_reason_and_path(held: Quarantine) -> None:
    """The most frequent first."""
    lines = held.vault.ok("reveal", "quarantine", "list", "--summary").lines
    assert [(line["reason_code"], line["path"], line["count"]) for line in lines] == [
        ("field_null", "$.user_id", 2),
        ("not_json", "$", 1),
        ("not_utf8", "$", 1),
    ]
    shown = on_terminal(held.vault, "reveal", "quarantine", "list", "--summary").stdout
    assert max(len(plain(line)) for line in shown.splitlines()) <= 80
    (only,) = held.vault.ok("reveal", *LIST, "--summary", "--reason-code", "not_json").lines
    assert only["count"] == 1


def test_an_empty_quarantine_is_reported_on_standard_error(quick: Vault) -> None:
    """Standard output stays empty; standard error tells a person."""
    for args in (LIST, (*LIST, "--summary")):
        assert quick.ok("reveal", *args).stdout == ""
        as_table = quick.ok("reveal", *args, "--output", "table")
        assert (as_table.stdout, as_table.stderr) == ("", "nothing is quarantined\n")


def test_show_opens_the_body_on_the_record(held: Quarantine) -> None:
    """With reason and path, and the intent's place in the log, which says who asked and why."""
    before = held.vault.count("audit_log")
    asked = (*held.show(held.text), "--purpose", "support", "--ticket", "T-1")
    shown = held.vault.ok("reveal", *asked).json
    assert shown == {
        "record_id": held.text,
        "reason_code": "not_json",
        "path": "$",
        "body": STEERING,
        "body_encoding": "utf-8",
        "audit_seq": shown["audit_seq"],
        "audit_hash": shown["audit_hash"],
        "checkpoint": shown["checkpoint"],
    }
    intent, outcome = held.vault.ok("audit", "audit", "list", "--record", held.text).lines[-2:]
    assert held.vault.count("audit_log") == before + 2
    assert (intent["seq"], intent["hash"]) == (shown["audit_seq"], shown["audit_hash"])
    assert (intent["action"], intent["fields"]) == ("quarantine show", ["quarantine"])
    assert (intent["reason"], intent["purpose"], intent["ticket"]) == (
        "a test asks",
        "support",
        "T-1",
    )
    assert (outcome["phase"], outcome["decision"]) == ("outcome", "done")


def test_a_body_that_is_not_text_is_base64(held: Quarantine) -> None:
    """The output names the encoding."""
    shown = held.vault.ok("reveal", *held.show(held.raw)).json
    assert shown["body_encoding"] == "base64"
    assert base64.b64decode(shown["body"], validate=True) == BYTES


def test_an_erased_body_is_null_and_no_failure(held: Quarantine) -> None:
    """Why it was quarantined is still known."""
    shown = held.vault.ok("reveal", *held.show(held.erased)).json
    assert (shown["body"], shown["body_encoding"]) == (None, None)
    assert shown["reason_code"] == "field_null"
    assert held.vault.ok("reveal", *held.show(held.erased), "--output", "value").stdout == ""


@pytest.mark.parametrize("kind", ["text", "raw"])
def test_a_piped_value_is_the_very_body(held: Quarantine, kind: str) -> None:
    """Byte for byte, in any locale, with nothing added: it can be sent again."""
    record_id, body = {"text": (held.text, STEERING.encode()), "raw": (held.raw, BYTES)}[kind]
    done = subprocess.run(
        held.vault.command(*held.show(record_id), "--output", "value"),
        env={**held.vault.environment("reveal"), "PYTHONIOENCODING": "ascii", "LC_ALL": "C"},
        cwd=held.vault.home,
        capture_output=True,
        check=True,
    )
    assert done.stdout == body
    (logged,) = done.stderr.splitlines()  # the signed head, which leaves the database as a log
    assert json.loads(logged)["event"] == "checkpoint"


@pytest.mark.parametrize("output", ["table", "json", "value"])
@pytest.mark.parametrize("kind", ["text", "raw"])
def test_a_body_cannot_steer_the_terminal(held: Quarantine, kind: str, output: str) -> None:
    """Unprintable characters are escaped, and cannot forge a line."""
    record_id = held.text if kind == "text" else held.raw
    asked = (*held.show(record_id), "--output", output)
    extra = {"NO_COLOR": "1", "TERM": "dumb"}
    result = on_terminal(held.vault, "reveal", *asked, extra=extra)
    assert result.code == 0
    assert all(c.isprintable() or c == "\n" for c in result.stdout)
    assert not any(line.startswith(" ip: 1.2.3.4") for line in result.stdout.splitlines())
    if kind == "text":
        assert "ip: 1.2.3.4" in result.stdout


def test_a_reason_is_asked_for_on_a_terminal(held: Quarantine) -> None:
    """The reason is in the log."""
    with terminal(held.vault, "reveal", "quarantine", "show", held.erased) as shown:
        shown.expect("Reason: ")
        shown.type("typed by hand")
        result = shown.finish()
    assert result.code == 0
    assert "field_null" in result.stdout
    entry = held.vault.ok("audit", "audit", "list", "--record", held.erased).lines[-1]
    assert entry["reason"] == "typed by hand"


@pytest.mark.parametrize(
    ("command", "names"),
    [
        (("quarantine", "show", UNKNOWN), "an access to a message needs a --reason"),
        ((*SHOW[:3], "--reason", " \t"), "the argument after --reason is empty"),
        ((*SHOW, "--ticket", "x" * 65), "the ticket is longer"),
        (("quarantine", "show", "4711", "--reason", "x"), "ID takes an id such as"),
        (("quarantine", "show", "--reason", "x"), "missing argument 'ID'"),
        ((*LIST, "--reason-code", "no_such_code"), "--reason-code"),
        ((*LIST, "--since", "2026-13-01"), "--since"),
        ((*LIST, "--limit", "0"), "--limit"),
        ((*LIST, "--summary", "--limit", "3"), "--summary"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_command_line_is_one_line_of_error(
    held: Quarantine, command: tuple[str, ...], names: str
) -> None:
    """Exit is 2, and the log gets no entry."""
    before = held.vault.count("audit_log")
    fails(held.vault.run("reveal", *command), 2, names)
    assert held.vault.count("audit_log") == before


@pytest.mark.parametrize("record_id", [UNKNOWN, "019a0000-0000-4000-8000-000000000000"])
def test_an_unknown_message_is_not_found(held: Quarantine, record_id: str) -> None:
    """Exit 66, after the question was logged."""
    fails(
        held.vault.run("reveal", *held.show(record_id)),
        66,
        "no quarantined message has this record_id",
    )
    outcome = held.vault.ok("audit", "audit", "list", "--record", record_id).lines[-1]
    assert (outcome["decision"], outcome["error_code"]) == ("failed", "not_found")


@pytest.mark.parametrize(
    ("role", "command"),
    [
        *((role, LIST) for role in ("ingest", "erase", "audit", "analyst")),
        *((role, (*LIST, "--summary")) for role in ("ingest", "analyst")),
        *((role, SHOW) for role in ("ingest", "rotate", "re-encrypt", "erase", "audit", "analyst")),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(value[1:3:2]),
)
def test_each_command_needs_its_role(held: Quarantine, role: str, command: tuple[str, ...]) -> None:
    """Exit 77 with a hint; a denied access has an entry where the login may append one."""
    before = held.vault.count("audit_log")
    fails(held.vault.run(role, *command), 77, "Postgres", "login")
    new = held.vault.sql(
        "SELECT phase, decision, error_code, action, login, record_id::text, fields"
        " FROM audit_log WHERE seq > %s",
        before,
    )
    login = f"test_{role.replace('-', '_')}"
    denied = ("intent", "denied", "role", "quarantine show", login, UNKNOWN, ["quarantine"])
    assert new == ([denied] if command is SHOW and role in MAY_APPEND else [])


@pytest.mark.iam
def test_a_wrong_access_key_opens_no_body(held: Quarantine) -> None:
    """Reveal's login with ingest's AWS role: KMS says no, and the log has it."""
    stolen = access_key(held.vault, "ingest")
    result = held.vault.run("reveal", *held.show(held.text), extra=stolen)
    fails(result, 77, "KMS denies this (AccessDeniedException)")
    outcome = held.vault.ok("audit", "audit", "list", "--record", held.text).lines[-1]
    assert (outcome["decision"], outcome["error_code"]) == ("failed", "key_unavailable")


def test_without_kms_nothing_is_shown(held: Quarantine) -> None:
    """Exit 69."""
    with FaultProxy(held.vault.endpoint, lambda call: call.operation != "Decrypt") as kms:
        extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
        fails(held.vault.run("reveal", *held.show(held.text), extra=extra), 69, "KMS")


def test_the_decrypt_follows_the_committed_intent(held: Quarantine) -> None:
    """Another session sees the intent at the call of KMS; its id is in the user agent."""
    seen = []

    def look(call: Call) -> bool:
        if call.operation == "Decrypt":
            last = "SELECT phase, request_id::text FROM audit_log ORDER BY seq DESC LIMIT 1"
            seen.append((*held.vault.sql(last)[0], call.user_agent))
        return True

    with FaultProxy(held.vault.endpoint, look) as kms:
        held.vault.ok("reveal", *held.show(held.text), extra={"AWS_ENDPOINT_URL_KMS": kms.url})
    assert seen
    for phase, request_id, user_agent in seen:
        assert phase == "intent"
        assert f"request/{request_id}" in user_agent


@pytest.mark.parametrize("when", ["before", "after the body is open"])
def test_a_log_that_cannot_be_written_shows_nothing(held: Quarantine, when: str) -> None:
    """Exit 74; without an intent KMS is not even asked."""

    def revoke_at_last_moment(call: Call) -> bool:
        if call.operation == "Decrypt":
            held.vault.sql(REVOKE)
        return True

    if when == "before":
        held.vault.sql(REVOKE)
    try:
        with FaultProxy(held.vault.endpoint, revoke_at_last_moment) as kms:
            extra = {"AWS_ENDPOINT_URL_KMS": kms.url}
            result = held.vault.run("reveal", *held.show(held.text), extra=extra)
    finally:
        held.vault.sql(f"GRANT EXECUTE ON FUNCTION {APPEND} TO vault_etl_reveal")
    fails(result, 74, "the audit log could not be written")
    assert ("Decrypt" in kms.operations()) is (when != "before")
    assert "203.0.113.9" not in result.stderr


def test_a_body_that_was_tampered_with_does_not_open(quick: Vault) -> None:
    """Exit 65: a flipped bit, and another row's body, with the one message and no hint of why."""
    mine, other = quarantine(quick, event().encode(), event().encode())
    errors = set()
    for damage in ((FLIP, mine), (MOVE, other, mine)):
        quick.sql(*damage)
        result = quick.run("reveal", "quarantine", "show", mine, "--reason", "x", "--quiet")
        fails(result, 65, "a sealed value does not open")
        errors.add(result.stderr)
    assert len(errors) == 1
    assert quick.ok("reveal", "quarantine", "show", other, "--reason", "x").json["body"]


def test_half_a_command_shows_its_help(held: Quarantine) -> None:
    """On standard error, with exit 2."""
    result = held.vault.run("reveal", "quarantine")
    assert (result.code, result.stdout) == (2, "")
    assert result.stderr.startswith("Usage: vault-etl")
