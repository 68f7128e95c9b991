"""`--help`, `--version` and shell completion."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import typer

from tests.kit.vault import Vault
from vault_etl import __version__
from vault_etl.cli.commands import COMMANDS
from vault_etl.cli.main import app

LARGE = {
    *("asyncio", "boto3", "botocore", "cryptography", "prometheus_client", "psycopg2", "pydantic"),
    *("jinja2", "rich"),
}
LIGHT = {
    "vault_etl.cli",
    *(f"vault_etl.{name}" for name in ("base", "base.empty_variables", "base.errors", "base.text")),
    *(f"vault_etl.cli.{name}" for name in ("commands", "main", "option_values", "usage")),
    *(f"vault_etl.cli.{name}" for name in ("ui", "ui.printable", "ui.streams")),
}
SCRIPT = Path(sys.executable).with_name("vault-etl")


def commands() -> list[tuple[str, ...]]:
    """Every command, as its words."""
    found: list[tuple[str, ...]] = []
    for name, command in sorted(typer.main.get_group(app).commands.items()):
        inner = sorted(getattr(command, "commands", {}))
        found += [(name, sub) for sub in inner] or [(name,)]
    return found


@pytest.mark.parametrize("words", commands(), ids="-".join)
def test_help_has_an_example_and_fits(loaded: Vault, words: tuple[str, ...]) -> None:
    """The help of every command says what it does, gives an example, and fits 80 columns."""
    result = loaded.ok("analyst", *words, "--help")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"Usage: vault-etl {' '.join(words)}")
    example = lines.index(next(line for line in lines if line.strip() in {"Example:", "Examples:"}))
    assert f"vault-etl {' '.join(words)}" in "\n".join(lines[example:])
    assert max(len(line) for line in lines) <= 80


def test_the_list_of_commands_says_what_each_says_of_itself() -> None:
    """The list is a table in the code, so that no command is imported for it."""
    told = {
        name: " ".join(str(command.help).split())
        for name, command in typer.main.get_group(app).commands.items()
    }
    assert {name: told[name][: len(text)] for name, text in COMMANDS.items()} == COMMANDS
    assert all(text.endswith(".") for text in COMMANDS.values())


@pytest.mark.command
def test_help_imports_no_command_and_nothing_large() -> None:
    """Modules that import slowly are imported where they are used, so that the help prints at once."""
    code = (
        "import sys; from vault_etl.cli.main import app; sys.argv = ['vault-etl', '--help']\n"
        "try: app()\n"
        "except SystemExit: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={}, capture_output=True, text=True, check=True
    )
    assert "quarantine" in done.stdout
    modules = set(done.stderr.split())
    assert not LARGE & modules
    assert {m for m in modules if m.startswith("vault_etl.")} <= LIGHT


@pytest.mark.command
def test_a_commands_help_imports_no_client_of_a_service() -> None:
    """A command imports clients when it runs. Four commands need some of them for their options."""
    words = [each for each in commands() if each[0] not in {"config", "demo", "ingest", "local"}]
    code = (
        "import sys; from vault_etl.cli.main import app\n"
        f"for words in {words!r}:\n"
        "    try: app([*words, '--help'])\n"
        "    except SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("Usage: ") == len(words)
    assert not {"botocore", "psycopg2", "pydantic", "rich"} & set(done.stderr.split())


def test_help_needs_no_environment(loaded: Vault) -> None:
    """The help prints without HOME, PATH, AWS or a database."""
    done = subprocess.run(
        loaded.command("--help"), env={}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "vault-etl demo" in done.stdout


def test_the_version_is_the_packages(loaded: Vault) -> None:
    """`--version` prints name and version, in a pipe too."""
    assert loaded.ok("analyst", "--version").stdout == f"vault-etl {__version__}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_a_completion_script(loaded: Vault, shell: str) -> None:
    """The script is text, for `eval`, and asks the command itself."""
    script = loaded.ok("analyst", extra={"_VAULT_ETL_COMPLETE": f"source_{shell}"}).stdout
    assert "_VAULT_ETL_COMPLETE" in script
    assert f"complete_{shell}" in script


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (["vault-etl", "ke"], "keys"),
        (["vault-etl", "keys", "ro"], "rotate"),
        (["vault-etl", "duplicates", "--field", "dev"], "device_id"),
        (["vault-etl", "ingest", "--max"], "--max-messages"),
    ],
)
def test_bash_completes(loaded: Vault, typed: list[str], completed: str) -> None:
    """Bash completes commands, options and their values when the script is loaded."""
    words = " ".join(f"'{word}'" for word in typed)
    script = (
        f'eval "$(_VAULT_ETL_COMPLETE=source_bash {SCRIPT})";'
        f" COMP_WORDS=({words}) COMP_CWORD={len(typed) - 1};"
        f' _vault_etl_completion {SCRIPT}; echo "${{COMPREPLY[@]}}"'
    )
    done = subprocess.run(
        ["/bin/bash", "-c", script],
        env=loaded.environment("analyst"),
        cwd=loaded.home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [completed]


def test_completion_touches_nothing(loaded: Vault) -> None:
    """Completing needs no setting and no network: pressing TAB must never hang."""
    environment = {
        "_VAULT_ETL_COMPLETE": "complete_bash",
        "COMP_WORDS": "vault-etl ",
        "COMP_CWORD": "1",
    }
    done = subprocess.run(
        loaded.command(), env=environment, capture_output=True, text=True, check=True, timeout=10
    )
    assert {"demo", "ingest", "keys", "reveal"} <= set(done.stdout.split())
