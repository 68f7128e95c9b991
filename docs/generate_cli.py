#!/usr/bin/env python3
"""Writes docs/cli.md: every command from its own `--help`, every setting and exit code from the code.

    .venv/bin/python docs/generate_cli.py

tests/docs/test_cli_docs.py fails while the page is stale.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer
from typer.testing import CliRunner

from vault_etl import settings
from vault_etl.base import errors
from vault_etl.cli import main
from vault_etl.cli.needed_roles import NEEDED_ROLES
from vault_etl.cli.replica_reads import FROM_REPLICA
from vault_etl.settings.fields import SettingSpec

PAGE: Final = Path(__file__).with_name("cli.md")
COLUMNS: Final = 80

_INTRODUCTION: Final = """\
# Commands, settings and exit codes

<!-- Written by docs/generate_cli.py. Change the code, then run it. -->

Data goes to standard output: a table on a terminal, JSON in a pipe (`--output` decides), in ASCII. A list is one object
a line. Everything else, progress and logs included, goes to standard error. An error is two lines there,
`vault-etl: error: …` and `vault-etl: hint: …`, and an [exit code](#exit-codes). Times are UTC, ISO 8601.

`make demo` makes `.venv/bin/vault-etl`. Below each command is the role of Postgres that it needs; it also needs the AWS
role of that name ([design.md](design.md#roles)).

"""

_SETTINGS: Final = """\
## Settings

Settings are read once at start: from the environment, then from `vault-etl.toml` in the working directory, or from
the file that `VAULT_ETL_CONFIG` names. In the file, names are in lower case and have no prefix: `batch_size = 500`.
A list is a TOML list in the file, and has commas in the environment. An empty variable counts as not set, and so do
empty variables of AWS, libpq and OpenTelemetry (`AWS_…`, `PG…`, `OTEL_…`). An empty value in the file, an empty
word of a list and an empty argument of any command are errors. Newlines at the end of a value are left out; other
white space around it is an error. A number, in an option too, has the digits 0 to 9, a sign, and unless it is whole
a point and an exponent: `0.5`, `1e3`. An unknown setting is an error that names it, except the variables that
Kubernetes injects for a service of this name (`VAULT_ETL_SERVICE_HOST`, `VAULT_ETL_PORT…`).

AWS has its own settings: `AWS_REGION`, `AWS_PROFILE`, `AWS_ENDPOINT_URL` and so on. Settings of libpq are in the URL of
the database: `?sslmode=verify-full&sslrootcert=/etc/ssl/rds.pem`.
[Traces](operations/watch.md#traces) have those of OpenTelemetry.

| setting | meaning | default | allowed |
|---|---|---|---|
"""

_AFTER_SETTINGS: Final = """
`vault-etl config` shows each setting with its value, its source and its problem, if it has one.

"""

_EXIT_CODES: Final = """\
## Exit codes

The codes follow sysexits.h where it has one. [Failures](operations/failures.md#exit-codes) says what to do.

| code | meaning |
|---|---|
| 0 | Done, also after SIGTERM, when ingest has finished the batch in hand. |
"""


def render() -> str:
    """The whole page."""
    parts = [_INTRODUCTION, "## Commands\n\n"]
    parts += [
        f"### `{command}`\n\n```text\n{text}```\n\n{_needed(command)}"
        for command, text in helps().items()
    ]
    parts += [_SETTINGS, *_setting_rows(), _AFTER_SETTINGS, _EXIT_CODES, *_exit_code_rows()]
    return "".join(parts)


def names() -> Sequence[str]:
    """Every command, groups included: `vault-etl keys rotate`."""
    return [" ".join(("vault-etl", *words)) for words in _words()]


@functools.cache
def helps() -> Mapping[str, str]:
    """Every command, groups included, with its `--help`."""
    runner = CliRunner(env={"COLUMNS": str(COLUMNS), "TERMINAL_WIDTH": str(COLUMNS)})
    return {
        " ".join(("vault-etl", *words)): runner.invoke(
            main.app, [*words, "--help"], prog_name="vault-etl"
        ).stdout.rstrip()
        + "\n"
        for words in _words()
    }


def _words() -> Iterator[tuple[str, ...]]:
    return _commands(typer.main.get_command(main.app))


def _needed(command: str) -> str:
    """A paragraph with the roles of Postgres for a command; empty for a command of any role."""
    name = command.removeprefix("vault-etl ")
    needed = NEEDED_ROLES.get(name)
    if needed is None:
        return ""
    lazy = NEEDED_ROLES.get(f"{name} --lazy")
    also = f"; with `--lazy` or `--dry-run` {_any_of(lazy)}" if lazy else ""
    reads = " Reads from `VAULT_ETL_READ_URL`, if that is set." if name in FROM_REPLICA else ""
    return f"Role: {_any_of(needed)}{also}.{reads}\n\n"


def _any_of(roles: Sequence[str]) -> str:
    return " or ".join(f"`{role}`" for role in roles)


def _commands(command: Any, *words: str) -> Iterator[tuple[str, ...]]:  # noqa: ANN401  # typer hides its types
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from _commands(inner, *words, name)


def _setting_rows() -> Iterator[str]:
    for name, declared in settings.SPECS.items():
        default = "" if declared.default in (None, ()) else f"`{_plain(declared.default)}`"
        yield (
            f"| `{settings.PREFIX}{name.upper()}` | {declared.description} | {default}"
            f" | {_allowed(declared)} |\n"
        )


def _allowed(declared: SettingSpec) -> str:
    """The values that a setting accepts."""
    if get_origin(declared.kind) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(declared.kind))
    if get_origin(declared.kind) is tuple:
        return "list"
    if declared.kind is settings.Secret:
        return "secret"
    if declared.kind is bool:
        return "`true` or `false`"
    if declared.kind is str:
        return "URL" if (declared.pattern or "").startswith("^http") else "text"
    lowest = _plain(declared.ge) if declared.gt is None else f"above {_plain(declared.gt)}"
    kind = "whole number, " if declared.kind is int else ""
    return f"{kind}{lowest} to {_plain(declared.le)}"


def _plain(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, str) else json.dumps(value)


def _exit_code_rows() -> Iterator[str]:
    meanings = {
        vars(kind)["exit_code"]: (kind.__doc__ or "").splitlines()[0]
        for kind in vars(errors).values()
        if isinstance(kind, type) and "exit_code" in vars(kind)
    }
    meanings[main.EXIT_BUG] = "A bug. Please report the line that says where; it holds no value."
    meanings[main.EXIT_INTERRUPTED] = (
        "Interrupted by Ctrl-C; ingest finishes the batch in hand first."
    )
    meanings[main.EXIT_BROKEN_PIPE] = "Whoever read our output closed it. Silent."
    return (f"| {code} | {meaning} |\n" for code, meaning in sorted(meanings.items()))


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
