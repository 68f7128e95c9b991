"""No table of a command cuts anything off, with the widest values, on terminals of any width."""

from __future__ import annotations

import ast
import datetime as dt
import importlib
import sys
import uuid
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

import vault_etl.cli
from tests.kit.declared import FIELDS
from vault_etl.audit.entries import Action
from vault_etl.cli.ui.output import OutputFormat, cell, print_object, print_rows
from vault_etl.crypto.fields import QUARANTINE
from vault_etl.event.rejection import Reason

ID = uuid.UUID("01a1fc29-ca31-7f16-a77c-58d57c39a400")
MOMENT = dt.datetime(2026, 1, 31, 12, tzinfo=dt.UTC)
LONGEST: dict[str, object] = {
    **dict.fromkeys(("record_id", "token"), ID),
    **dict.fromkeys(("time", "quarantined_at", "sent_at", "newest", "oldest"), MOMENT),
    **dict.fromkeys(("first_seen", "last_seen", "create_date"), MOMENT.date()),
    **dict.fromkeys(("seq", "count", "today", "yesterday", "users", "rows", "age_days"), 2**31 - 1),
    **dict.fromkeys(("receive_count", "key_id", "generation"), 2**32 - 1),
    **dict.fromkeys(("ok", "placeholder"), True),
    "login": "a_login_of_the_database_with_a_name_as_long_as_postgresql_takes",
    "action": max(Action, key=len).value,
    "decision": "allowed",
    "error_code": "key_unavailable",
    "fields": list(FIELDS),
    "masked_fields": list(FIELDS),
    "purpose": "p" * 64,
    "field": QUARANTINE,
    "state": "decrypt_only",
    "ticket": "t" * 64,
    "ticket_pattern": r"^(CASE|FRAUD|DPO)-[0-9]{1,9}$",
    "reason": "because " * 62,
    "event": "e" * 31,
    "key": f"events.{'e' * 31}.personal.{'v' * 31}",
    "fault": "a word " * 60,
    "change": "changes a rule for new records",
    **dict.fromkeys(("personal", "required"), True),
    "type": "digits (max 64, min 12)",
    "columns": [f"next_masked_{'v' * 31}", f"{'v' * 31}_ciphertext"],
    "line": 10**6,
    **dict.fromkeys(("device_type", "app_version", "locale"), "d" * 64),
    "reason_code": max(Reason, key=len).value,
    "path": f"$.{'a' * 62}",
    "user_id": "u" * 256,
    **dict.fromkeys(("check", "section"), "pending_token_keys"),
    "hint": "a word " * 60,
    "detail": "a word " * 60,
    "kind": "tampered",
    "what": "a word " * 60,
    "setting": "VAULT_ETL_TOKEN_KEY_MAX_AGE_DAYS",
    "source": f"/etc/{'f' * 100}.toml",
    "value": "arn:aws:kms:eu-central-1:123456789012:key/01a1fc29-ca31-7f16-a77c-58d57c39a400",
    "first": [100_000_000 + n for n in range(5)],
    "partition": "user_logins_2026_03",
    **dict.fromkeys(("from", "until", "closed_at"), "2026-03-01T00:00:00.000Z"),
    "bytes": "8" * 13,
    "month": "2026-03",
    **dict.fromkeys(("first_seq", "last_seq", "kept", "deletes"), 10**9),
    "segment": f"s3://{'b' * 63}/audit-000000000001-000001000000",
    "migration": "0042_country_of_a_login.online",
    "table": "user_logins_2026_03",
    "step": "index user_logins_country: drop an invalid one and build it again",
    "location": f"s3://{'b' * 63}/{'p' * 231}",
    **dict.fromkeys(("parts", "version", "erasures"), 10**6),
    "result": "recorded",
    "problem": "is not a setting: did you mean VAULT_ETL_TOKEN_KEY_MAX_AGE_DAYS?",
}
"""The widest value of each column. One that a new table brings needs a line here."""


def tables() -> Iterator[tuple[str, tuple[str, ...]]]:
    """The columns of each table that a command prints, by its place in the code."""
    for file in sorted(Path(vault_etl.cli.__path__[0]).glob("*.py")):
        module = importlib.import_module(f"vault_etl.cli.{file.stem}")
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            given = declared(node)
            if given is not None:
                yield f"{file.stem}:{given.lineno}", tuple(names(given, module))


def declared(node: ast.AST) -> ast.expr | None:
    """The columns that this node gives to a table, if it does: an argument, or a tuple of this name."""
    if isinstance(node, ast.keyword) and node.arg == "columns":
        # A bare name is a tuple of this name, or a parameter; of a list in JSON there is no table.
        return None if ast.unparse(node.value) in {"columns", "()"} else node.value
    if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "columns":
        return node.value if isinstance(node.value, ast.Tuple) else None
    return None


def names(columns: ast.expr, module: object) -> Iterator[str]:
    """The names of columns in an expression: literals, and constants of the module."""
    for node in ast.walk(columns):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name) and node.id.isupper():
            yield from getattr(module, node.id)
        elif isinstance(node, ast.Attribute) and node.attr.isupper():
            yield from getattr(getattr(module, ast.unparse(node.value)), node.attr)


def shown(monkeypatch: pytest.MonkeyPatch, columns: int) -> StringIO:
    """The output on a terminal with this many columns."""
    terminal = StringIO()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    return terminal


@pytest.mark.parametrize(("place", "columns"), list(tables()), ids=str)
@pytest.mark.parametrize("width", [40, 80, 300])
def test_every_table_is_whole(
    monkeypatch: pytest.MonkeyPatch, place: str, columns: tuple[str, ...], width: int
) -> None:
    """Every value of every column is on the screen: in one piece if it fits a line, else wrapped."""
    assert columns, place
    terminal = shown(monkeypatch, width)
    row = {name: LONGEST[name] for name in columns}
    short = dict.fromkeys(columns, None)
    print_rows([row, short, row], OutputFormat.TABLE, columns=columns, empty="")
    text = terminal.getvalue()
    assert "…" not in text
    run_together = "".join(text.split())
    for name, value in row.items():
        whole = cell(value)
        assert run_together.count("".join(whole.split())) >= 2, name
        assert " " in whole or len(whole) > width - 30 or text.count(whole) >= 2, name
    first = len(cell(row[columns[0]]))
    assert max(map(len, text.splitlines())) <= max(width, first)


def test_the_search_finds_tables() -> None:
    """The search would find nothing if a change printed tables in another way."""
    places = {place.partition(":")[0] for place, _ in tables()}
    assert places >= {"audit", "audit_policy", "audit_verify", "config", "doctor", "duplicates"}
    assert places >= {"find", "keys", "quarantine"}


@pytest.mark.parametrize("width", [30, 80])
def test_every_object_is_whole(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    """Pairs are listed below each other, and a long value is wrapped beside its name."""
    terminal = shown(monkeypatch, width)
    print_object({**LONGEST, "inner": {"ip": "2001:db8::1", "device_id": None}}, OutputFormat.TABLE)
    run_together = "".join(terminal.getvalue().split())
    assert all("".join(cell(value).split()) in run_together for value in LONGEST.values())
    assert "ip:2001:db8::1" in run_together
    assert "…" not in terminal.getvalue()


def test_control_sequences_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells are escaped beside others, below them, and in an object; markup of rich is text."""
    terminal = shown(monkeypatch, 20)
    row = {"action": "[bold]a[/bold]", "login": "b\x1b[2J\r\n" * 4, "reason": "c\u202e" * 20}
    print_rows([row], OutputFormat.TABLE, columns=tuple(row), empty="")
    print_object(row, OutputFormat.TABLE)
    text = terminal.getvalue()
    assert all(character.isprintable() or character == "\n" for character in text)
    assert text.count("[bold]a[/bold]") == 2
