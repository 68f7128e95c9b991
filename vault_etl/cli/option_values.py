"""Values of options and arguments, from the text of a command line.

typer would import pydantic for this, which takes longer than typer itself (docs/adr/0059-commands-start-fast.md).
A parameter asks its `get_runtime_param` for what makes its values when it is first parsed.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final, get_args

import typer

from vault_etl.base import text as expected
from vault_etl.cli.usage import WrongValueError


def take_plainly(command: Any) -> None:  # noqa: ANN401 - a command of typer's, or a group of them
    """Make the values of a command's parameters, `--help` included, and those of the commands in it, by this module."""
    for inner in getattr(command, "commands", {}).values():
        take_plainly(inner)
    listed = command.get_params
    command.get_params = lambda ctx: with_coercion(listed(ctx))


def with_coercion(params: list[Any]) -> list[Any]:
    """Give parameters the coercion of this module, and return them."""
    for param in params:
        param.get_runtime_param = _Coercion
    return params


class _Coercion:
    """Makes the values of a parameter. Raises BadParameter in our words, which quote no value."""

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ANN401 - as typer's own
        """Return the value, or a tuple of values for a parameter of several; None or () if none is given."""
        descriptor = param.type_descriptor
        if value is None:
            return () if descriptor.is_list else None
        kind = get_args(descriptor.annotation)[0] if descriptor.is_list else descriptor.annotation
        given = value if descriptor.is_list else (value,)
        try:
            found = tuple(_one(each, kind, descriptor.parameter_info) for each in given)
        except ValueError:
            raise WrongValueError(_says(param, kind), ctx=ctx, param=param) from None
        return found if descriptor.is_list else found[0]


def _one(value: Any, kind: type, info: Any) -> object:  # noqa: ANN401 - a default may be of the kind already
    """Return one value of this kind. Raises ValueError, or the BadParameter of a parser."""
    if info.parser is not None:
        return info.parser(value)
    if isinstance(value, kind):
        return value
    if issubclass(kind, Enum):
        return kind(value)
    return _MAKERS[kind](value, info)


def _number(kind: type[int | float]) -> Callable[[str, Any], float]:
    def make(value: str, info: Any) -> float:  # noqa: ANN401 - typer's
        # str: the default of a float may be a whole number.
        return expected.number_of(kind, str(value), at_least=info.min, at_most=info.max)

    return make


def _path(value: str, info: Any) -> Path:  # noqa: ANN401 - typer's
    path = Path(value)
    if not info.file_okay and path.is_file():
        message = f"{path} is a file, and a folder is needed"
        raise typer.BadParameter(message)
    return path


def _moment(value: str, info: Any) -> dt.datetime:  # noqa: ANN401 - typer's
    if not value.isascii():  # strptime takes digits of other scripts
        raise ValueError
    if info.formats is None:
        return dt.datetime.fromisoformat(value)
    (form,) = info.formats
    return dt.datetime.strptime(value, form)  # noqa: DTZ007 - a day


_MAKERS: Final[Mapping[type, Callable[[str, Any], object]]] = {
    int: _number(int),
    float: _number(float),
    Path: _path,
    uuid.UUID: lambda value, _: expected.uuid_of(value),
    dt.datetime: _moment,
}


def _says(param: Any, kind: type) -> str:  # noqa: ANN401 - typer hides its types
    """Name the option or argument and the values that it takes."""
    name = param.opts[0] if param.param_type_name == "option" else param.metavar or param.name
    return f"{name.strip('[]')} takes {_takes(kind, param.type_descriptor.parameter_info)}"


def _takes(kind: type, info: Any) -> str:  # noqa: ANN401 - typer hides its types
    if issubclass(kind, Enum):
        return expected.one_of(kind)
    if kind in {int, float}:
        return expected.number(kind, at_least=info.min, at_most=info.max)
    if kind is dt.datetime and info.formats:
        return "a day such as 2026-01-31"
    return expected.such_as(kind)
