"""`quarantine list` and `show`: what is there and why, and the body only on the record."""

from __future__ import annotations

import base64
import datetime as dt
import json
import subprocess
from collections.abc import Iterator

import pytest

from tests.kit.processes import on_terminal, terminal
from tests.kit.samples import UNKNOWN
from tests.kit.transcripts import plain
from tests.kit.vault import Vault
from tests.quarantine.held import BYTES, STEERING, Quarantine, held_quarantine

LIST = ("quarantine", "list")
SHOW = ("quarantine", "show", UNKNOWN, "--reason", "x")


@pytest.fixture(scope="module")
def held(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quarantine]:
    """Yield one vault for all tests that change nothing."""
    with held_quarantine(keyed, tmp_path_factory.mktemp("held")) as filled:
        yield filled


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
