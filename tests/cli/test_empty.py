"""Empty values are unset, or refused: every option of every command, every setting, and variables of other programs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from vault_etl.base.empty_variables import forget_empty
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.cli import main
from vault_etl.cli.usage import refuse_empty
from vault_etl.settings import PREFIX
from vault_etl.settings.model import SPECS, Settings
from vault_etl.settings.sources import load


def every_argument() -> Iterator[tuple[str, ...]]:
    """Each command line that gives one option or argument of one command an empty value."""

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:  # noqa: ANN401  # typer hides its types
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, (*words, name))
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                yield (*words, "")
            elif not parameter.is_flag:
                for option in parameter.opts:
                    yield (*words, option, "")
                    yield (*words, option, " \t")
                    if option.startswith("--"):
                        yield (*words, f"{option}=")

    yield from walk(typer.main.get_command(main.app), ())


def test_no_command_takes_an_empty_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The exit code is 2, with the option and a hint, before the command does anything."""
    lines = list(every_argument())
    assert ("ingest", "--file", "") in lines
    assert len(lines) > 100
    for line in lines:
        with pytest.raises(UsageError):  # before a mistake here could run the command
            refuse_empty(line)
        monkeypatch.setattr(sys, "argv", ["vault-etl", *line])
        with pytest.raises(SystemExit) as ended:
            main.main()
        error, hint = capsys.readouterr().err.splitlines()
        assert (ended.value.code, error.endswith(" is empty")) == (2, True), line
        assert "variable" in hint
        name = line[-1].rstrip("=") or line[-2]
        assert not name.startswith("-") or name in error


def test_a_refusal_names_an_option_and_no_value() -> None:
    """The word before an empty argument may be personal: the message has its position, not its text."""
    with pytest.raises(UsageError, match=r"^argument 4 is empty$"):
        refuse_empty(["erase", "--user-id", "4711", ""])


@pytest.mark.parametrize("value", ["", "  ", "\n"])
@pytest.mark.parametrize("name", SPECS)
def test_an_empty_variable_is_a_setting_that_is_not_set(name: str, value: str) -> None:
    """The setting has its default, with the source `default`."""
    found, sources = load({f"{PREFIX}{name.upper()}": value})
    assert getattr(found, name) == SPECS[name].default
    assert sources[name] == "default"


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("text", ['""', '" "', '[""]', '[" "]'])
def test_an_empty_value_in_the_file_is_refused(tmp_path: Path, name: str, text: str) -> None:
    """An empty value in the file is an error that names the setting."""
    file = tmp_path / "some.toml"
    file.write_text(f"{name} = {text}", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=f"VAULT_ETL_{name.upper()}"):
        load({"VAULT_ETL_CONFIG": str(file)})


@pytest.mark.parametrize("value", [",", "a,", ",a", "a, ,b"])
def test_a_list_has_no_empty_words(value: str) -> None:
    """An unset variable within a list makes no shorter list of trusted keys, and no empty list."""
    with pytest.raises(ConfigurationError, match="VAULT_ETL_TRUSTED_KEY_ARNS"):
        load({"VAULT_ETL_TRUSTED_KEY_ARNS": value})


@pytest.mark.parametrize("value", ["", " "])
def test_no_configuration_file_is_named_by_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    """An empty VAULT_ETL_CONFIG leaves the file of the working directory, which may be missing."""
    monkeypatch.chdir(tmp_path)
    assert load({"VAULT_ETL_CONFIG": value})[0] == Settings()
    (tmp_path / "vault-etl.toml").write_text("batch_size = 7", encoding="utf-8")
    assert load({"VAULT_ETL_CONFIG": value})[0].batch_size == 7


def test_empty_variables_of_others_are_forgotten() -> None:
    """The libraries would use some as values, as AWS_REGION, AWS_PROFILE and PGSSLMODE."""
    environ = {"AWS_PROFILE": "", "AWS_REGION": " ", "PGSSLMODE": "", "PGHOST": "h", "TERM": ""}
    environ["OTEL_TRACES_EXPORTER"] = ""
    forget_empty(environ)
    assert environ == {"PGHOST": "h", "TERM": ""}
