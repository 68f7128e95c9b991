"""Reasons and tickets that people type stay one line of text in every place where they are shown."""

from __future__ import annotations

import json
import uuid

import psycopg2
import pytest

from tests.audit.logbook import Logbook
from tests.kit.entries import append_committed
from tests.kit.processes import fails, on_terminal
from tests.kit.vault import Vault

HOSTILE = {
    "newline": "a\nreveal denied",
    "carriage return": "a\rb",
    "escape": "\x1b[2J\x1b]0;owned\x07 red \x1b[31m",
    "c1": "a\x9b31mb",
    "right to left": "a\u202egnihtemos\u202c",
    "isolates": "a\u2066b\u2069",
    "line separator": "a\u2028b\u2029c",
    "json": '", "decision": "denied", "x": "',
    "object": '{"seq": 1, "decision": "denied"}',
    "sql": "'); DELETE FROM audit_log; --",
    "format": "%s %(reason)s {0} {reason}",
    "markup": "[bold red]a[/]",
    "bell": "\x07\x08\x08",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_every_text_of_an_entry_is_one_line(site: Vault, record_id: str, name: str) -> None:
    """A reason and a ticket are logged without control characters, and listed as JSON and as a table."""
    text = HOSTILE[name]
    asked = ("reveal", record_id, "--reason", f"why {text}", "--ticket", f"T {text[:40]}")
    before = site.count("audit_log")
    site.ok("reveal", *asked)
    assert site.count("audit_log") == before + 2
    ((reason, ticket),) = site.sql("SELECT reason, ticket FROM audit_log ORDER BY seq DESC LIMIT 1")
    for stored in (reason, ticket):
        assert stored.isprintable()
    lines = site.ok("audit", "audit", "list", "--record", record_id).stdout.splitlines()
    last = json.loads(lines[-1])
    assert (last["reason"], last["ticket"], last["decision"]) == (reason, ticket, "done")
    shown = on_terminal(
        site,
        *("audit", "audit", "list", "--record", record_id),
        columns=400,
        extra={"NO_COLOR": "1"},
    ).stdout
    for bold in ("\x1b[1m", "\x1b[0m"):  # of the table's own head
        shown = shown.replace(bold, "")
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert reason in shown
    assert len(shown.splitlines()) == len(lines) + 1
    assert site.ok("audit", "audit", "verify").json["ok"]


@pytest.mark.parametrize("option", ["--reason", "--ticket", "--purpose"])
def test_a_text_that_is_too_long_is_refused(site: Vault, record_id: str, option: str) -> None:
    """The longest text of a command line is exit 2, without an entry, and is not repeated."""
    before = site.count("audit_log")
    given = {"--reason": "x", option: "y" * 100_000}
    result = site.run("reveal", "reveal", record_id, *(w for pair in given.items() for w in pair))
    fails(result, 2, "is longer than")
    assert len(result.stderr) < 400
    assert site.count("audit_log") == before


@pytest.mark.parametrize("column", ["reason", "ticket", "purpose", "actor", "host"])
@pytest.mark.parametrize("text", ["x" * 1024 * 1024, "\n", "a\x1b[2J", "a\u202eb", ""])
def test_the_database_refuses_such_a_text_too(written: Logbook, column: str, text: str) -> None:
    """A client of one's own cannot write a text that the program does not write."""
    with pytest.raises(psycopg2.errors.InvalidParameterValue):
        append_committed(written.database, **{column: text})


def test_a_mebibyte_in_every_text_leaves_the_log_whole(log: Logbook) -> None:
    """Refused entries leave no gap behind."""
    with pytest.raises(psycopg2.errors.InvalidParameterValue):
        append_committed(log.database, reason="x" * 1024 * 1024, request_id=uuid.uuid4())
    log.look()
    assert log.prove().problem is None


def test_a_wrong_id_is_not_repeated(site: Vault) -> None:
    """A wrong id may be an address that a person or a pipe gave, so the error does not repeat it."""
    for result in (
        site.run("reveal", "reveal", "198.51.100.77", "--reason", "x"),
        site.run("reveal", "reveal", "-", "--reason", "x", stdin="\n198.51.100.77\n"),
    ):
        fails(result, 2, "is not a record id")
        assert "198.51" not in result.stderr
