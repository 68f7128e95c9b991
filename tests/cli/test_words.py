"""A wrong setting or option is told in our words: none of pydantic's, of click's types, or of Python's."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from vault_etl import settings
from vault_etl.base.errors import ConfigurationError, UsageError
from vault_etl.cli.main import app
from vault_etl.cli.usage import usage_message

SECRET = "sekret-Wort-4711"
FOREIGN = re.compile(
    r"Input|String|should|unable to parse|Value error|datetime|UUID|%Y|<class|\[type=|pydantic|_parsing"
    r"|greater than|less than|x[<>]=|\bint\b|\bfloat\b|None|Enum|Error\b|Traceback|object at|regex|pattern"
)


@functools.cache
def whole() -> Any:  # noqa: ANN401 - typer's
    """The command line, built once."""
    return typer.main.get_command(app)


def parameters() -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each option and argument with a type, and the words of its command."""
    todo: list[tuple[tuple[str, ...], Any]] = [((), whole())]
    while todo:
        words, command = todo.pop()
        todo += [
            ((*words, name), inner) for name, inner in getattr(command, "commands", {}).items()
        ]
        for param in command.params:
            descriptor = getattr(param, "type_descriptor", None)
            if descriptor is not None and descriptor.annotation not in (bool, str):
                yield words, param


def refused(words: tuple[str, ...], param: Any, value: str) -> str | None:  # noqa: ANN401 - typer's
    """The message about this value, or None if it is accepted."""
    command = whole()
    for word in words:
        command = command.commands[word]
    given = [param.opts[0], value] if param.param_type_name == "option" else ["--", value]
    try:
        command.make_context(None, given)
    except typer.TyperException as error:
        return usage_message(error)
    except UsageError as error:  # of a parser of ours, which names the option in its hint
        return f"{param.opts[0]}: {error}".replace(SECRET, "")
    return None


def test_every_option_says_what_it_takes() -> None:
    """Each option and argument that does not take any text, with values that it does not accept."""
    seen = 0
    for words, param in parameters():
        for value in (SECRET, "-1", "99999999999999999999999", "nan"):
            said = refused(words, param, value)
            if said is None or said.startswith("missing"):
                continue
            seen += 1
            assert SECRET not in said
            assert not FOREIGN.search(said), (words, said)
            assert any(
                name.strip("[]") in said for name in (param.opts[0], param.metavar or param.name)
            )
    assert seen > 40


@pytest.mark.parametrize(
    ("words", "option", "value", "said"),
    [
        (("local", "start"), "--emulator", "x", "takes moto or localstack"),
        (("keys", "rewrap"), "--purpose", "x", "takes one of data, token, source"),
        (("ingest",), "--workers", "65", "takes a whole number from 1 to 64"),
        (("ingest",), "--max-messages", "0", "takes a whole number of 1 or more"),
        (("keys", "rotate"), "--rate", "x", "takes a number of 1 or more"),
        (("ingest",), "--sent", "x", "takes a day such as 2026-01-31"),
        (
            ("audit", "list"),
            "--since",
            "x",
            "takes a day or a time such as 2026-01-31 or 2026-01-31T12:00:00Z",
        ),
    ],
)
def test_a_refusal_says_the_words_the_bounds_and_the_form(
    words: tuple[str, ...], option: str, value: str, said: str
) -> None:
    """The error has all of them, so that the next attempt is right."""
    (param,) = (p for at, p in parameters() if at == words and option in p.opts)
    assert refused(words, param, value) == f"{option} {said}"


@pytest.mark.parametrize("name", settings.SPECS)
def test_every_setting_says_what_it_takes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong value from the environment or a file, of another type or out of bounds, is named and never quoted."""
    monkeypatch.chdir(tmp_path)
    variable = f"VAULT_ETL_{name.upper()}"
    said = []
    for text in (SECRET, "-1", "1e99", "nan", "1.5"):
        try:
            settings.load({variable: text})
        except ConfigurationError as error:
            said.append(str(error))
    for text in (f'"{SECRET}"', "-1", "1e99", "[[1]]", "{a = 1}", '""', "2026-01-31", "true"):
        Path("vault-etl.toml").write_text(f"{name} = {text}\n", encoding="utf-8")
        try:
            settings.load({})
        except ConfigurationError as error:
            said.append(str(error))
    assert said
    for each in said:
        assert each.startswith(f"{variable} ")
        assert " takes " in each or each.endswith(" is empty")
        assert SECRET not in each
        assert not FOREIGN.search(each), each


def test_a_misspelt_setting_is_guessed() -> None:
    """A guess needs a similar setting, and variables that Kubernetes injects are not settings."""
    guesses = {
        "VAULT_ETL_QUEUE": "is not a setting: did you mean VAULT_ETL_QUEUE_URL?",
        "VAULT_ETL_queue_url": "is not a setting: did you mean VAULT_ETL_QUEUE_URL?",
        "VAULT_ETL_XYZZY": "is not a setting",
    }
    for name, said in guesses.items():
        with pytest.raises(ConfigurationError, match=rf"^{name} {re.escape(said)}$"):
            settings.load({name: "x"})
    settings.load({"VAULT_ETL_SERVICE_HOST": "x", "VAULT_ETL_PORT_9464_TCP": "x"})
