"""The one table of roles: every command that asks Postgres is in it, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import typer

from vault_etl.base.errors import DeniedError, LoginDeniedError
from vault_etl.cli import main
from vault_etl.cli.needed_roles import NEEDED_ROLES, command_of, hint_of
from vault_etl.cli.replica_reads import FROM_REPLICA

ANY_ROLE: Final = {"config", "demo", "doctor", "status"}


def test_every_command_is_in_the_table_or_is_for_any_role() -> None:
    """A command that is added needs a line, so that a refusal can say which login it takes."""
    named = {" ".join(words) for words in _commands(typer.main.get_command(main.app))}
    files = {name for name in named if name.startswith("schema ")} - {"schema apply"}
    asks = {name for name in named - ANY_ROLE - files if not name.startswith("local ")}
    assert asks == {name for name in NEEDED_ROLES if " --" not in name}


def test_a_command_reads_from_a_replica_or_needs_the_state_of_now() -> None:
    """A command that is added is decided about here: it asks the primary, unless the table names it."""
    named = {" ".join(words) for words in _commands(typer.main.get_command(main.app))}
    asks = {name for name in named if not name.startswith(("local ", "schema "))}
    asks -= {"config", "demo"}
    needs_now = {
        *("migrate", "ingest", "reveal", "find", "tokens", "subject export", "erase", "status"),
        *(f"quarantine {name}" for name in ("show", "retry", "discard")),
        *(name for name in asks if name.startswith(("lake ", "partitions "))),
        *(f"keys {name}" for name in ("init", "rotate", "rewrap", "destroy")),
        *(f"audit {name}" for name in ("checkpoint", "export", "trim", "policy", "policy set")),
    }
    assert asks == needs_now | FROM_REPLICA
    assert not needs_now & FROM_REPLICA


def test_a_command_line_names_its_command() -> None:
    """The first words of a command line name its command."""
    assert command_of(["audit", "policy", "set", "p.json"]) == "audit policy set"
    assert command_of(["audit", "policy", "--output", "json"]) == "audit policy"
    assert command_of(["keys", "list"]) == "keys list"
    assert command_of(["reveal", "x", "--reason", "keys list"]) == "reveal"
    assert command_of(["doctor"]) is None


def test_only_a_want_of_a_role_names_one() -> None:
    """Another refusal keeps its own hint."""
    assert hint_of(LoginDeniedError("x", hint="y"), "erase") == (
        "use a login that has the role vault_etl_erase"
    )
    assert hint_of(LoginDeniedError("x", hint="y"), None) == "y"
    assert hint_of(DeniedError("x", hint="y"), "erase") == "y"


def test_design_says_the_same() -> None:
    """The table of roles in design.md names each command at a role that it may be run with."""
    page = Path("docs/design.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| [^|]* \| [^|]* \| ([^|]*) \|$", page, re.MULTILINE)
    for role, commands in rows:
        for command in re.findall(r"`([^`]+)`", commands):
            if needed := NEEDED_ROLES.get(command):
                assert f"vault_etl_{role.replace('-', '_')}" in needed, command


def _commands(command: Any, *words: str) -> Iterator[tuple[str, ...]]:  # noqa: ANN401 - typer hides its types
    inner = getattr(command, "commands", {})
    if words and (not inner or getattr(command, "invoke_without_command", False)):
        yield words
    for name, each in inner.items():
        yield from _commands(each, *words, name)
