"""Reading of settings: from the environment, then from `vault-etl.toml`.

An empty variable of the environment counts as not set; an empty value in the file is an error.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from vault_etl.base import text as expected
from vault_etl.base.errors import ConfigurationError
from vault_etl.settings.model import PREFIX, SPECS, Settings

CONFIG_VARIABLE: Final = "VAULT_ETL_CONFIG"
CONFIG_FILE: Final = "vault-etl.toml"

_KUBERNETES: Final = re.compile(r"^VAULT_ETL_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_.*)?)$")
_CONFIG_HINT: Final = "`vault-etl config` lists every setting"
_NAMES: Final = tuple(SPECS)


@dataclass(frozen=True, slots=True)
class FoundSetting:
    """A setting as it was found. A wrong setting has the `value` None: its text may be a secret."""

    name: str
    """The name in the environment; an unknown setting of a file has the name of the file."""
    value: object
    source: str
    """`environment`, a file's path, or `default`."""
    problem: str | None = None
    """The problem, without the value."""


def load(environ: Mapping[str, str]) -> tuple[Settings, dict[str, str]]:
    """Load the settings, and the source of each: `environment`, a file's path, or `default`.

    Raises ConfigurationError for a setting that is unknown or malformed, with its name and without its
    value, and for a file that cannot be read.
    """
    settings, found, problems = inspect(environ)
    if problems:
        raise problems[0]
    return settings, {name: each.source for name, each in found.items()}


def inspect(
    environ: Mapping[str, str],
) -> tuple[Settings, dict[str, FoundSetting], list[ConfigurationError]]:
    """Load the settings (a wrong setting gets its default), all settings as found, and the problems."""
    problems: list[ConfigurationError] = []
    try:
        file, from_file = _read_file(environ)
    except ConfigurationError as error:
        file, from_file = "", {}
        problems.append(error)
    from_environment = _read_environment(environ)
    unknown = [
        *(
            FoundSetting(name, None, file, _unknown(name, ""))
            for name in from_file
            if name not in _NAMES
        ),
        *(
            FoundSetting(name, None, "environment", _unknown(name, PREFIX))
            for name in from_environment
            if _name_of(name) is None
        ),
    ]
    values = {name: value for name, value in from_file.items() if name in _NAMES}
    sources = dict.fromkeys(_NAMES, "default") | dict.fromkeys(values, file)
    for variable, text in from_environment.items():
        known = _name_of(variable)
        if known and text.strip():  # compose files pass variables that are not set as empty ones
            values[known], sources[known] = text, "environment"
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = value.rstrip("\r\n")  # a mounted secret ends in a newline
    empty = {name for name, value in values.items() if isinstance(value, str) and not value.strip()}
    made, malformed = _made({name: value for name, value in values.items() if name not in empty})
    wrong = malformed | empty
    settings = Settings(**made, given=frozenset(made))
    found = {
        name: FoundSetting(
            f"{PREFIX}{name.upper()}",
            None if name in wrong else getattr(settings, name),
            sources[name],
            "is empty" if name in empty else f"takes {_takes(name)}" if name in wrong else None,
        )
        for name in _NAMES
    }
    found |= {each.name: each for each in unknown}
    for each in found.values():
        if each.problem is not None:
            where = "" if each.source == "environment" else f" ({each.source})"
            message = f"{each.name}{where} {each.problem}"
            problems.append(ConfigurationError(message, hint=_CONFIG_HINT))
    return settings, found, problems


def _made(values: Mapping[str, Any]) -> tuple[dict[str, Any], set[str]]:
    """The values of the settings, and the names of those that are malformed or out of bounds."""
    made, wrong = dict[str, Any](), set[str]()
    for name, value in values.items():
        try:
            made[name] = SPECS[name].parse(value)
        except ValueError:
            wrong.add(name)
    return made, wrong


def _takes(name: str) -> str:
    """The values that a setting accepts, in words."""
    spec = SPECS[name]
    if spec.example is not None:
        return f"a value such as {spec.example}"
    if get_origin(spec.kind) is Literal:
        return expected.one_of(get_args(spec.kind))
    if spec.kind is bool:
        return expected.such_as(bool)
    return expected.number(spec.kind, at_least=spec.ge, at_most=spec.le, above=spec.gt)


def _name_of(variable: str) -> str | None:
    """The setting of an environment variable, or None."""
    name = variable.removeprefix(PREFIX).lower()
    return name if variable.isupper() and name in _NAMES else None


def _unknown(name: str, prefix: str) -> str:
    near = difflib.get_close_matches(name.removeprefix(prefix).lower(), _NAMES, n=1)
    if not near:
        return "is not a setting"
    return f"is not a setting: did you mean {prefix}{near[0].upper() if prefix else near[0]}?"


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables with our prefix, by their whole names."""
    return {
        variable: value
        for variable, value in environ.items()
        if variable.startswith(PREFIX)
        and variable != CONFIG_VARIABLE
        and not _KUBERNETES.match(variable)
    }


def _read_file(environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    named = environ.get(CONFIG_VARIABLE, "").strip()
    path = Path(named or CONFIG_FILE)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not named:
            return "", {}
        message = f"{CONFIG_VARIABLE} names a file that does not exist"
        raise ConfigurationError(message, hint="correct the variable, or unset it") from None
    except (OSError, ValueError, RecursionError) as error:
        message = f"the configuration file {path} cannot be read: {_unreadable(error)}"
        raise ConfigurationError(
            message, hint='write TOML: database_url = "postgresql://…"'
        ) from None
    return str(path), values


def _unreadable(error: Exception) -> str:
    """The reason why a file cannot be read, without its content."""
    if isinstance(error, OSError):
        return error.strerror or "it is not a file"
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else "it is not TOML"
