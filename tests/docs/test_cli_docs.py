"""docs/cli.md says what `--help`, the settings and the error classes say, and leaves nothing out."""

from __future__ import annotations

import itertools
import re
from typing import Final

import pytest

from docs.generate_cli import PAGE, helps, names, render
from vault_etl import settings
from vault_etl.base import errors

NAMES: Final = sorted(names())
GROUPS: Final = {group for group, name in itertools.pairwise(NAMES) if name.startswith(f"{group} ")}
COMMANDS: Final = [name for name in NAMES if name not in GROUPS]


def _examples(text: str) -> list[str]:
    """The indented lines after "Example:" or "Examples:"."""
    found = re.search(r"^  Examples?:\n((?:    .+\n)+)", text, re.MULTILINE)
    return [line.strip() for line in found[1].splitlines()] if found else []


def test_the_page_is_what_the_code_says() -> None:
    """The page is not stale. If this fails: .venv/bin/python docs/generate_cli.py."""
    assert PAGE.read_text(encoding="utf-8") == render()


def test_every_command_is_on_the_page() -> None:
    """Each command and group that `--help` lists, at any depth, has a section."""
    sections = set(re.findall(r"^### `(.+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE))
    assert sections == set(NAMES)
    for group in GROUPS:
        listed = re.findall(
            r"^  ([a-z][a-z-]*) ", helps()[group].split("\nCommands:\n")[1], re.MULTILINE
        )
        assert {f"{group} {name}" for name in listed} <= sections


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_that_it_takes(command: str) -> None:
    """The help shows at least one use of the command, with options that it has."""
    text = helps()[command]
    own = [example for example in _examples(text) if f"{command} " in f"{example} "]
    assert own
    for example in own:
        options = re.findall(r"(?<= )--[a-z-]+", example.split(command, 1)[1].split(" && ")[0])
        assert all(re.search(rf"^  .*{option} ", text, re.MULTILINE) for option in options), example


def test_no_line_of_a_help_is_wider_than_a_terminal() -> None:
    """Every line has 80 columns at most."""
    assert not [line for text in helps().values() for line in text.splitlines() if len(line) > 80]


def test_a_time_is_shown_as_it_is_given() -> None:
    """A default is 90d, as a person would type it, and not a number of seconds."""
    assert not re.findall(r"default: [0-9]+\.0\]", PAGE.read_text(encoding="utf-8"))
    assert "[default: (90d)]" in helps()["vault-etl audit trim"]


@pytest.mark.parametrize("name", settings.SPECS)
def test_every_setting_is_documented(name: str) -> None:
    """The setting has a description, and a row under "Settings"."""
    description = settings.SPECS[name].description
    assert description
    section = PAGE.read_text(encoding="utf-8").split("## Settings")[1].split("## Exit codes")[0]
    assert f"| `{settings.PREFIX}{name.upper()}` | {description} |" in section


def test_every_exit_code_is_documented() -> None:
    """Every class of error has its code's row under "Exit codes"."""
    section = PAGE.read_text(encoding="utf-8").split("## Exit codes")[1]
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", section, re.MULTILINE)}
    raised = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.VaultEtlError)
    }
    assert raised | {0, 2, 130, 141} == documented
