"""Data goes to standard output: a table on a terminal, JSON in a pipe, and nothing that steers either."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.events import event, events
from tests.kit.processes import on_terminal, terminal
from tests.kit.samples import a_record
from tests.kit.transcripts import plain
from tests.kit.vault import Vault
from tests.kit.vaults import filled_vault

PRINTING = {
    "duplicates": ("analyst", ("duplicates", "--field", "ip")),
    "keys list": ("audit", ("keys", "list")),
    "keys init": ("re-encrypt", ("keys", "init")),
    "keys rotate": ("re-encrypt", ("keys", "rotate", "--dry-run")),
    "audit list": ("audit", ("audit", "list")),
    "config": ("ingest", ("config",)),
    "ingest": ("ingest", ("ingest",)),
    "migrate": ("admin", ("migrate",)),
    "quarantine list": ("reveal", ("quarantine", "list")),
    "quarantine retry": ("re-encrypt", ("quarantine", "retry", "--all", "--dry-run")),
    "reveal": ("reveal", ("reveal", "ID", "--reason", "x")),
}
WHOLE = {
    "audit list": ("time", "login", "action", "decision", "record_id", "ticket", "reason"),
    "quarantine list": ("record_id", "quarantined_at", "sent_at", "reason_code", "path"),
    "keys list": ("key_id", "state", "rows"),
    "config": ("setting",),
}
"""What a person must find, whatever is beside it; `tests/cli/test_tables.py` has every column."""
STEERING = "\x1b[2J\x1b]0;owned\x07\x9b31m\u202edev\r\n ip: 1.2.3.4"


def command(vault: Vault, name: str) -> tuple[str, tuple[str, ...]]:
    """The role and the arguments of a command of `PRINTING`, with the id of some record."""
    role, args = PRINTING[name]
    if name == "ingest":
        vault.renew_queue()  # what another test left on it does not belong into this vault
    record_id, _ = a_record(vault)
    return role, tuple(record_id if arg == "ID" else arg for arg in args)


@pytest.mark.parametrize("name", PRINTING)
def test_a_pipe_gets_json_and_a_terminal_a_table(loaded: Vault, name: str) -> None:
    """A pipe gets one JSON object a line without `--output`, and a table fits 80 columns."""
    role, args = command(loaded, name)
    lines = loaded.ok(role, *args).stdout.splitlines()
    assert lines
    for line in lines:
        assert isinstance(json.loads(line), dict)
    shown = on_terminal(loaded, role, *args)
    assert shown.code == 0
    assert "{" not in shown.stdout
    rows = [
        line
        for line in shown.stdout.splitlines()
        if "\x1b[?25" not in line  # progress
        and "ingest: " not in line  # the live line, which the screen's width cuts off
        and not line.startswith("\u2014 ")  # a signature, which is one line or none
    ]
    assert not any("…" in row for row in rows)  # what does not fit would be cut off with it
    assert max(len(plain(row)) for row in rows) <= 80
    for found in map(json.loads, lines):
        for column in WHOLE.get(name, ()):
            text = "".join(str(found[column] or "").split())
            assert text in "".join(shown.stdout.split())


@pytest.mark.parametrize("name", ["duplicates", "keys list", "keys rotate", "reveal"])
def test_output_is_as_asked_for(loaded: Vault, name: str) -> None:
    """`--output` decides, wherever standard output goes."""
    role, args = command(loaded, name)
    table = loaded.ok(role, *args, "--output", "table").stdout
    assert not table.lstrip().startswith("{")
    # A terminal shows progress too, on the same screen.
    shown = on_terminal(loaded, role, *args, "--output", "json", "--quiet").stdout
    assert all(isinstance(json.loads(line), dict) for line in shown.splitlines())


def test_a_narrow_terminal_loses_nothing(loaded: Vault) -> None:
    """Forty columns are too few for a row: cells that do not fit are below it."""
    lines = loaded.ok("analyst", "duplicates", "-f", "ip").lines
    shown = on_terminal(loaded, "analyst", "duplicates", "-f", "ip", columns=40).stdout
    for line in lines:
        (row,) = re.findall(rf"^{line['token']}\n(?:      .*\n)+", plain(shown), re.MULTILINE)
        for name in ("count", "users", "first_seen", "last_seen"):
            assert f"{name.replace('_', ' ')}: {line[name]}" in row


def test_the_table_tells_what_the_json_does(loaded: Vault) -> None:
    """Every token and count of the JSON is in the table, one row each."""
    lines = loaded.ok("analyst", "duplicates", "-f", "ip").lines
    shown = plain(on_terminal(loaded, "analyst", "duplicates", "-f", "ip").stdout).splitlines()
    for line in lines:
        (row,) = [row for row in shown if line["token"] in row]
        assert row.split()[1:3] == [str(line["count"]), str(line["users"])]


def test_an_empty_result_is_said_on_standard_error(loaded: Vault) -> None:
    """An empty result is no line of JSON; standard error says that there is none."""
    asked = ("duplicates", "--field", "ip", "--min-count", "1000")
    assert loaded.ok("analyst", *asked).stdout == ""
    as_table = loaded.ok("analyst", *asked, "--output", "table")
    assert as_table.stdout == ""
    assert as_table.stderr == "no ip is shared by 1000 or more records\n"


def test_progress_is_live_on_a_terminal_and_log_lines_in_a_pipe(quick: Vault) -> None:
    """A live line or bar is drawn on a terminal alone; elsewhere each step is one line of JSON."""
    quick.send(events(3))
    assert "ingest: ready" in on_terminal(quick, "ingest", "ingest").stdout
    quick.send(events(3))
    logged = [json.loads(line) for line in quick.ok("ingest", "ingest").stderr.splitlines()]
    assert sum(line["stored"] for line in logged if line["event"] == "batch") == 3
    rotate = ("keys", "rotate", "--yes")
    assert "━" in on_terminal(quick, "re-encrypt", *rotate).stdout
    logged = [json.loads(line) for line in quick.ok("re-encrypt", *rotate).stderr.splitlines()]
    assert {line["event"] for line in logged} == {"rotate", "checkpoint"}


def test_quiet_leaves_the_data_alone(quick: Vault) -> None:
    """`--quiet` prints nothing beside the data, in a pipe and on a terminal."""
    quick.send(events(3))
    quiet = quick.ok("ingest", "ingest", "--quiet")
    assert (quiet.stderr, quiet.json["stored"]) == ("", 3)
    asked = ("keys", "rotate", "--yes", "--quiet")
    with (
        Path(os.devnull).open("wb") as nowhere,
        terminal(quick, "re-encrypt", *asked, stdout=nowhere.fileno()) as shown,
    ):
        assert shown.finish().stdout == ""


def test_verbose_shows_no_secret(quick: Vault) -> None:
    """`--verbose` logs no password, no secret key, no wrapped or plaintext key."""
    quick.send([*events(3), "not json"])
    logged = ""
    for role, *args in (
        ("ingest", "ingest"),
        ("re-encrypt", "keys", "rotate", "--yes"),
        ("audit", "keys", "list"),
        ("ingest", "config"),
    ):
        done = quick.ok(role, *args, "--verbose")
        logged += done.stdout + done.stderr
        assert quick.environment(role)["AWS_SECRET_ACCESS_KEY"] not in logged
        assert quick.server.passwords.of(f"test_{role.replace('-', '_')}") not in logged
    for (wrapped,) in quick.sql("SELECT wrapped_key FROM data_keys"):
        assert bytes(wrapped).hex() not in logged


@pytest.fixture(scope="module")
def steering(keyed: Vault, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """A vault with one event, whose device id would steer a terminal."""
    body = event(device_id=STEERING)
    with filled_vault(keyed, tmp_path_factory.mktemp("steering"), [body]) as vault:
        yield vault


@pytest.mark.parametrize("output", ["table", "json", "value"])
def test_a_value_cannot_steer_the_terminal(steering: Vault, output: str) -> None:
    """Control characters in a device id are shown escaped on a terminal, and forge no line."""
    record_id, _ = a_record(steering)
    asked = ("reveal", record_id, "-f", "device_id", "--reason", "x", "--output", output)
    shown = on_terminal(steering, "reveal", *asked, extra={"TERM": "dumb"}).stdout
    assert all(c.isprintable() or c == "\n" for c in shown)
    assert not any(line.startswith(" ip: 1.2.3.4") for line in shown.splitlines())
    assert "1.2.3.4" in shown


def test_a_piped_value_is_the_one_that_was_sent(steering: Vault) -> None:
    """A pipe gets `--output value` byte for byte, and JSON that parses to the same, in any locale."""
    record_id, _ = a_record(steering)
    asked = ("reveal", record_id, "-f", "device_id", "--reason", "x")
    ascii_only = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    as_json = steering.ok("reveal", *asked, extra=ascii_only).json
    assert as_json["fields"]["device_id"] == STEERING
    done = subprocess.run(
        steering.command(*asked, "--output", "value"),
        env={**steering.environment("reveal"), **ascii_only},
        cwd=steering.home,
        capture_output=True,
        check=True,
    )
    assert done.stdout == f"{STEERING}\n".encode()
